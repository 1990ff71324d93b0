/** Latency: from the reply to the device to the position at a subscriber of the stream. */
import { STREAM_PATH } from '../schemas/stream.ts'
import { superAdminToken } from '../test/sessions.ts'
import { ACKNOWLEDGED_WHEN, EngineProcess, JWT_SECRET } from './engine-process.ts'
import type { LatencyOptions, LatencyResult } from './latency-probe.ts'
import { figure, percentile } from './measure.ts'
import type { Question, Row } from './question.ts'

const DEVICES = 1000
const RATE = 2000
const SECONDS = 10
/** What was asked for. */
const P99_MS_MAX = 100

export const latency: Question = {
  name: 'latency',
  title: 'How soon does a subscriber see a position?',
  method:
    `${DEVICES.toLocaleString('en-US')} Teltonika trackers send ${RATE.toLocaleString('en-US')} positions a second together, paced, one a packet, for ${SECONDS} s, to the engine in a ` +
    'process of its own. One process is all trackers and also the subscriber of everything over the WebSocket, JSON, so that ' +
    'both ends are read from one clock. The stream gathers for up to 50 ms; the number of stored rows must be that of acknowledged positions. ' +
    `Asked for: p99 below ${P99_MS_MAX} ms.`,
  measure: async (bench) => {
    bench.progress(`latency: ${SECONDS} s`)
    const databaseUrl = await bench.database()
    const client = await bench.connect(databaseUrl)
    const engine = await EngineProcess.start(bench, databaseUrl)
    const token = await superAdminToken(client, JWT_SECRET)
    const options: LatencyOptions = {
      port: engine.teltonikaPort,
      streamUrl: `${engine.streamUrl}${STREAM_PATH}`,
      token,
      devices: DEVICES,
      ratePerSecond: RATE,
      seconds: SECONDS,
    }
    const result = await bench.result<LatencyResult>('latency-probe', options)
    await engine.stored(result.acknowledged)
    const { rows: stored } = await client.query<{ count: string }>('SELECT count(*) FROM positions')
    if (Number(stored[0]!.count) !== result.acknowledged) {
      throw new Error(`${stored[0]!.count} rows are stored of ${result.acknowledged} acknowledged`)
    }
    if (result.replyToArrivalMs.length === 0) throw new Error('the subscriber saw no position')
    const row = (name: string, samplesMs: readonly number[], meaning: string): Row => {
      const samples = Float64Array.from(samplesMs)
      const p99Ms = percentile(samples, 0.99)
      return {
        name,
        cells: {
          'p50 ms': figure(percentile(samples, 0.5)),
          'p99 ms': figure(p99Ms),
          'max ms': figure(percentile(samples, 1)),
          'p99 of the 100 ms': `${figure((p99Ms / P99_MS_MAX) * 100)} %`,
          positions: samples.length.toLocaleString('en-US'),
        },
        meaning,
      }
    }
    const missing = result.acknowledged - result.replyToArrivalMs.length
    return [
      row(
        'reply to arrival',
        result.replyToArrivalMs,
        `From the reply at the device to the message at the subscriber; ${missing} of ${result.acknowledged.toLocaleString('en-US')} acknowledged positions did not arrive because a newer one of the device did.`,
      ),
      row(
        'sending to reply',
        result.sendToReplyMs,
        `From the packet at the device to the reply there, which goes when the packet is ${ACKNOWLEDGED_WHEN}.`,
      ),
      row(
        'sending to arrival',
        result.sendToArrivalMs,
        'The whole way: from the packet at the device to the message at the subscriber.',
      ),
    ]
  },
}
