/** Packages of npm that parse frames of trackers, and how each is asked for the place of one. */

/** Latitude and longitude, degrees. */
export type Place = readonly [number, number]
/** The first place of a frame; undefined if it has none. A frame that cannot be read is thrown at. */
export type ReadPlace = (frame: Buffer) => Place | undefined

export interface Peer {
  readonly name: string
  readonly version: string
  /** Our adapter of the protocol. */
  readonly protocol: string
  load(require: NodeJS.Require): ReadPlace
}

/** What `gt06`, `gt06-parser` and `gps103` have in common. */
interface MessageParser {
  readonly msgBuffer: readonly {
    readonly lat?: number
    readonly lon?: number
    readonly payload?: { readonly latitude?: number; readonly longitude?: number }
  }[]
  parse(frame: Buffer): void
}

/** What `queclink-parser` and `meitrack-parser` have in common: a GeoJSON point, longitude first. */
interface PointParser {
  parse(frame: Buffer): { readonly loc?: { readonly coordinates: readonly [number, number] } }
}

export const PEERS: readonly Peer[] = [
  {
    name: 'complete-teltonika-parser',
    version: '0.3.4',
    protocol: 'teltonika',
    load: (require) => {
      const { ProtocolParser } = require('complete-teltonika-parser') as {
        ProtocolParser: new (
          hex: string,
        ) => { Content: { AVL_Datas: { GPSelement: { Latitude: number; Longitude: number } }[] } }
      }
      return (frame) => {
        const { Latitude, Longitude } = new ProtocolParser(frame.toString('hex')).Content.AVL_Datas[0]!
          .GPSelement
        return [Latitude, Longitude]
      }
    },
  },
  {
    name: 'teltonika-parser',
    version: '0.0.15',
    protocol: 'teltonika',
    load: (require) => {
      const Parser = require('teltonika-parser') as new (
        frame: Buffer,
      ) => { getAvl(): { records: { gps: { latitude: number; longitude: number } }[] } }
      return (frame) => {
        const { latitude, longitude } = new Parser(frame).getAvl().records[0]!.gps
        return [latitude, longitude]
      }
    },
  },
  { name: 'gt06', version: '1.0.12', protocol: 'gt06', load: messages('gt06') },
  { name: 'gt06-parser', version: '1.1.1', protocol: 'gt06', load: messages('gt06-parser') },
  { name: 'gps103', version: '1.0.6', protocol: 'gps103', load: messages('gps103') },
  { name: 'queclink-parser', version: '1.4.1', protocol: 'gl200', load: points('queclink-parser') },
  { name: 'meitrack-parser', version: '2.0.0', protocol: 'meitrack', load: points('meitrack-parser') },
  {
    name: 'ruptela',
    version: '1.0.2',
    protocol: 'ruptela',
    load: (require) => {
      const process = require('ruptela') as (frame: Buffer) => {
        data: { records: { latitude: number; longitude: number }[] }
      }
      return (frame) => {
        const { latitude, longitude } = process(frame).data.records[0]!
        return [latitude, longitude]
      }
    },
  },
]

function messages(name: string): Peer['load'] {
  return (require) => {
    const Parser = require(name) as new () => MessageParser
    return (frame) => {
      const parser = new Parser()
      parser.parse(frame)
      const [message] = parser.msgBuffer
      const latitude = message?.lat ?? message?.payload?.latitude
      const longitude = message?.lon ?? message?.payload?.longitude
      return latitude === undefined || longitude === undefined ? undefined : [latitude, longitude]
    }
  }
}

function points(name: string): Peer['load'] {
  return (require) => {
    const module = require(name) as PointParser & { default?: PointParser }
    const parser = module.default ?? module
    return (frame) => {
      const coordinates = parser.parse(frame).loc?.coordinates
      return coordinates === undefined ? undefined : [coordinates[1], coordinates[0]]
    }
  }
}
