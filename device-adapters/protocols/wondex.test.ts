/** What the recorded messages of WondeX do not hold: datagrams, damage, answers, commands. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { CommandError } from '../adapter.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { RecordedStream } from '../recorded-line.ts'
import { wondex } from './wondex.ts'

const POSITION = '1044989601,20130323074605,13.572583,-52.401070,22,204,49,7,2,12.5V,3.2,1,0.1,0.2,4'

function session(options: Record<string, unknown> = {}): DeviceSession {
  const created = new DeviceSession(wondex, 'tcp', () => ({ model: '', options }))
  created.identify('1044989601')
  return created
}

test('reads a datagram without the end of the line, and every field', () => {
  const bytes = Buffer.from(POSITION).toString('hex')
  const stream = new RecordedStream(wondex)
  expect(stream.decode({ protocol: 'wondex', stream: 1, transport: 'udp', bytes }, 0).positions).toEqual([
    {
      device: '1044989601',
      deviceTime: '2013-03-23T07:46:05.000Z',
      fixTime: '2013-03-23T07:46:05.000Z',
      valid: true,
      latitude: -52.40107,
      longitude: 13.572583,
      altitude: 49,
      speed: 22,
      course: 204,
      attributes: {
        sat: 7,
        event: '2',
        battery: 12.5,
        odometer: 3200,
        input: '1',
        adc1: '0.1',
        adc2: '0.2',
        output: '4',
      },
    },
  ])
})

test('takes an answer for what it says, and a message for none', () => {
  const device = session()
  for (const text of ['$OK:REBOOT', '$ERR:VER=1', '$MSG:hello']) {
    decodeFrame(wondex, Buffer.from(text), device, new PositionBatch(8))
  }
  expect(device.answers).toEqual([
    { ok: true, text: '$OK:REBOOT' },
    { ok: false, text: '$ERR:VER=1' },
  ])
})

test.each(['hello', '1044989601,20130323,1.0,2.0,0,0,0,0,0', '$OK:\0'])('refuses %j', (text) => {
  const decode = () => decodeFrame(wondex, Buffer.from(text), session(), new PositionBatch(8))
  expect(decode).toThrow(expect.objectContaining({ code: 'malformed' }))
})

test('asks with the password of the device', () => {
  const { commands } = wondex
  expect(commands?.rebootDevice?.({}, session())).toBe('$WP+REBOOT=0000')
  expect(commands?.getVersion?.({}, session({ devicePassword: 'a1' }))).toBe('$WP+VER=a1')
  expect(() => commands?.getVersion?.({}, session({ devicePassword: 'a\r\n' }))).toThrow(CommandError)
  expect(commands?.custom?.({ data: '$WP+UNLOCK=0000' }, session())).toBe('$WP+UNLOCK=0000')
  expect(() => commands?.custom?.({ data: '$WP\r\n$WP' }, session())).toThrow(CommandError)
})
