/**
 * Suntech: reports as text, fields with `;` between them and a CR at the end, and in a zip (binary) form.
 *
 *     ST200 to ST600   SA200STT;id;[model;]version;yyyymmdd;hh:mm:ss;cell;latitude;longitude;km/h;course;satellites;
 *                      fix;odometer, m;power, V;inputs and outputs;…
 *                      the head is that of the series; `cell` is missing in ST500, in ST600 it is
 *                      cell (hex);country;network;area (hex);signal
 *       behind it      STT status;number   EMG emergency   EVT event   ALT alert
 *                      UEX length;data;checksum   data of the serial port, 00 and 01 in it sent as 01 10 and 01 11
 *       at the end, as the device is set up: engine time, min;battery, V;1 live or 0 stored;[3 analogue inputs;][rpm;]
 *                      [driver;known;][3 temperatures, id:value;][cell;country;network;signal;area;timing]
 *       others         …HTE;…;driver of a travel   …ALV;id   …CMD;Res;id;version;what a command did
 *     ST400            ST410STT;id;version;model;[variant;]cell;country;network;signal;area;timing;
 *                      6 times cell;country;network;area;signal;timing, then
 *                      battery, V;live;number;status;[3 digits;][ST419: 3 more;]date;time;latitude;…;satellites;fix
 *     ST900            ST910;Location, Emergency or Alert;id;[version;]date;time;[cell;]latitude;longitude;km/h;course;fix
 *     universal        STT;id;report map (hex);then a field a bit of the map from bit 1, see suntech/universal.ts
 *                      ALT and UEX alike   BLE without a map   RES;id;what a command did
 *     ST300, zip       02 | length 2 | type 1 | id 5 | model 1 | version 2 | ymdhms 6 | cell 3 | latitude 4 | longitude 4
 *                      | speed 3 | course 3 | fix, south, west, satellites 1 | odometer 4 | power 2 | signals 1
 *                      | status or alert 1 | [number 2 | minutes 4 | battery 2 | live 1] | 03; decimals are BCD
 *     universal, zip   81 or 82 | length 2 | id 5 | report map 3 | fields
 *
 * The server answers nothing. Its commands are `ST300CMD;id;02;name` CR, in the universal protocol `CMD;id;group;command` CR.
 * Source: Suntech, "ST300/340 Operation Manual", 1.41 and 1.56 of 2015; "Universal Reporting Guide", 1.62 of 2021.
 */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { DecodeError, defineAdapter } from '../adapter.ts'
import { CAPITAL, DIGIT, startsWith } from '../signature.ts'
import { decodeLegacyZip, decodeUniversalZip } from './suntech/binary.ts'
import { commands } from './suntech/commands.ts'
import { Fields, type SuntechSession, type SuntechState } from './suntech/fields.ts'
import { decodeLegacy, decodeSt4, decodeSt9 } from './suntech/legacy.ts'
import { fieldsOf, serialRange } from './suntech/serial-data.ts'
import { decodeUniversal } from './suntech/universal.ts'

const CR = 0x0d
const LF = 0x0a
const LEGACY_ZIP = 0x02
const LEGACY_HEAD = /^(S[AT]\d{3})[A-Z]{3}$/
/** What a device says to a command that it cannot read. */
const ERROR = '-Error'

/** Head and type, the name of an ST900, or the type alone and a number of many digits. */
const startsText = startsWith(
  `SA${DIGIT.repeat(3)}${CAPITAL.repeat(3)};`,
  `ST${DIGIT.repeat(3)}${CAPITAL.repeat(3)};`,
  `ST9${DIGIT.repeat(2)};`,
  `${CAPITAL.repeat(3)};${DIGIT.repeat(5)}`,
  ERROR,
)

export const suntech = defineAdapter<SuntechState>({
  id: 'suntech',
  version: 1,
  makers: ['Suntech'],
  source: 'Suntech, ST300/340 Operation Manual 1.56, and Universal Reporting Guide 1.62',
  listen: { tcp: 5011 },
  options: {
    hbm: '1 or 2: reports end with engine time and battery, with 2 also with the cell',
    includeAdc: '`true`: with analogue inputs, too',
    includeRpm: '`true`: with engine speed',
    includeTemp: '`true`: with temperatures',
  },
  maxFrameBytes: 2048,

  starts: (bytes) => (isZip(bytes[0]!) ? startsZip(bytes) : startsText(bytes)),

  open: () => ({ head: 'SA200' }),

  frame(bytes) {
    const first = bytes[0]!
    // What ended the frame before.
    if (first === CR || first === LF) return -1
    if (isZip(first)) {
      if (bytes.length < 3) return 0
      const length = 3 + bytes.readUInt16BE(1) + (first === LEGACY_ZIP ? 1 : 0)
      return bytes.length < length ? 0 : length
    }
    const end = bytes.indexOf(CR)
    if (end < 0) return 0
    const serial = serialRange(bytes, end)
    if (serial === undefined || serial.end <= end) return end
    const behind = bytes.indexOf(CR, serial.end)
    return Math.max(behind, 0)
  },

  decode(frame, session, out) {
    const first = frame.readUInt8(0)
    if (first === LEGACY_ZIP) decodeLegacyZip(frame, session, out)
    else if (isZip(first)) {
      session.state.head = ''
      decodeUniversalZip(frame, session, out)
    } else decodeText(fieldsOf(withoutEnd(frame)), session, out)
  },

  commands,
})

function decodeText(values: readonly string[], session: SuntechSession, out: PositionBatch): void {
  const head = values[0]!
  if (head === ERROR) {
    session.answer({ ok: false, text: ERROR })
    return
  }
  const legacy = LEGACY_HEAD.exec(head)
  if (legacy !== null) {
    session.state.head = legacy[1]!
    if (values[1] === 'Res') decodeResult(values, session, out)
    else if (head.startsWith('ST4')) decodeSt4(values, session, out)
    else decodeLegacy(values, session, out)
  } else if (/^ST9\d\d$/.test(head)) {
    session.state.head = head
    decodeSt9(values, session, out)
  } else if (/^[A-Z]{3}$/.test(head)) decodeUniversal(values, session, out)
  else throw new DecodeError('malformed', 'no head of a report')
}

function decodeResult(values: readonly string[], session: SuntechSession, out: PositionBatch): void {
  new Fields(values, 2).identify(session)
  const text = values.slice(3).join(';')
  const row = out.addWithoutFix()
  out.set(row, 'type', values[0]!.slice(5))
  out.set(row, 'result', text)
  session.answer({ ok: true, text })
}

/** Zip reports start with a byte that no text has; those of the universal protocol with 8 and the type. */
function isZip(first: number): boolean {
  return first === LEGACY_ZIP || first >> 4 === 8
}

/** The length is below 256, and the id is of digits. */
function startsZip(bytes: Buffer): boolean | undefined {
  const legacy = bytes[0] === LEGACY_ZIP
  const idAt = legacy ? 4 : 3
  if ((bytes[1] ?? 0) !== 0) return false
  if (legacy && (bytes[3] ?? 0x10) >> 4 !== 1) return false
  const id = bytes.toString('hex', idAt, idAt + 5)
  return /\D/.test(id) ? false : id.length < 10 ? undefined : true
}

function withoutEnd(frame: Buffer): Buffer {
  let end = frame.length
  while (end > 0 && (frame[end - 1] === CR || frame[end - 1] === LF)) end--
  return frame.subarray(0, end)
}
