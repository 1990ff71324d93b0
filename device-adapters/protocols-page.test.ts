/** docs/protocols.md is made from the adapters: `npx vitest run device-adapters/protocols-page.test.ts -u` writes it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { COMMANDS, type CommandType } from '../schemas/command.ts'
import { ENCODERS, isUnanswered, type SimulatedProtocol } from '../simulate/encoders/index.ts'
import type { Adapter } from './adapter.ts'
import { type RecordedLine, RecordedStream } from './recorded-line.ts'
import { loadAdapters } from './registry.ts'

/** Which frames are answered; found by playing the vectors, and from what simulated devices wait for. */
type ReplyClass = 'durable' | 'partly' | 'session' | 'none'

/** Share of the recorded frames with a position that are answered in a protocol of class `durable`: a few are damaged. */
const DURABLE_MIN = 0.85

const INTRODUCTION = `# Protocols

Made from the adapters in \`device-adapters/protocols/\`; do not edit. \`PROTOCOLS=NAME:PORT,…\` opens only those named, at
other ports if wanted; without it each is at its port below, which is the one that devices in the field mostly point to.
A device of any of these over TCP or UDP may also be pointed to \`DETECT_PORT\` (5000), which finds out what it speaks.

Replies:

- **durable**: a frame with positions is answered, and the answer means that they are safe (see [durability.md](durability.md)):
  until then the device keeps them, and sends them again.
- **partly**: so are some kinds of frames with positions, such as alarms or one form of reports; others are not answered.
- **session**: log-ins and heartbeats are answered, positions are not: the protocol has no answer to them. The device cannot
  know what arrived; what is on the wire when a connection breaks is lost.
- **none**: the protocol has no answers.

Options are those of a registered device, \`"options": {"devicePassword": "123456"}\` in \`POST /api/v1/devices\`. Its
\`model\` counts, too, where frames of models differ.
`

test.each([...(await loadAdapters()).values()])(
  '$id declares the options that it looks at',
  ({ id, options }) => {
    expect(optionsReadBy(id)).toEqual(new Set(Object.keys(options ?? {})))
  },
)

test('docs/protocols.md says what the adapters say', async () => {
  const adapters = [...(await loadAdapters()).values()]
  await expect(page(adapters)).toMatchFileSnapshot('../docs/protocols.md')
})

function page(adapters: readonly Adapter[]): string {
  const rows = adapters.map((adapter) => [
    `[${adapter.id}](#${adapter.id})`,
    adapter.makers.join(', '),
    portsOf(adapter),
    replyClassOf(adapter),
    String(Object.keys(adapter.commands ?? {}).length),
  ])
  return [
    INTRODUCTION,
    table(['protocol', 'makers', 'ports', 'replies', 'commands'], rows),
    '',
    ...adapters.flatMap(section),
  ].join('\n')
}

function section(adapter: Adapter): string[] {
  const types = (Object.keys(adapter.commands ?? {}) as CommandType[]).sort()
  const commands = types.map((type) => {
    const attributes = Object.keys(COMMANDS[type].shape)
    return attributes.length === 0 ? `\`${type}\`` : `\`${type}\` (${attributes.join(', ')})`
  })
  return [
    `## ${adapter.id}`,
    '',
    `- makers: ${adapter.makers.join(', ')}`,
    `- ports: ${portsOf(adapter)}`,
    `- replies: ${replyClassOf(adapter)}`,
    `- longest frame: ${adapter.maxFrameBytes.toLocaleString('en-US')} bytes`,
    `- commands: ${commands.join(', ') || 'none'}`,
    ...(takesPassword(adapter.id) ? ['- option `devicePassword`: password of its commands'] : []),
    ...Object.entries(adapter.options ?? {}).map(([name, meaning]) => `- option \`${name}\`: ${meaning}`),
    `- source: ${adapter.source}`,
    '',
  ]
}

function portsOf({ listen }: Adapter): string {
  const { mqtt, ...ports } = listen
  return [
    ...Object.entries(ports).map(([transport, port]) => `${transport} ${port}`),
    ...(mqtt === undefined ? [] : [`mqtt 1883 (\`${mqtt.join('`, `')}\`)`]),
  ].join(', ')
}

/** Over HTTP and MQTT the engine answers itself. */
function replyClassOf(adapter: Adapter): ReplyClass {
  if (adapter.listen.http !== undefined || adapter.listen.mqtt !== undefined) return 'durable'
  const text = readFileSync(new URL(`./protocols/${adapter.id}.vectors.jsonl`, import.meta.url), 'utf8')
  const streams = new Map<string | number, RecordedStream>()
  const counts = { placed: 0, placedAnswered: 0, answered: 0 }
  for (const line of text.split('\n').filter(Boolean)) {
    const recorded = JSON.parse(line) as RecordedLine
    const stream = streams.get(recorded.stream) ?? new RecordedStream(adapter)
    streams.set(recorded.stream, stream)
    const { positions, replies } = stream.decode(recorded, Date.UTC(2026, 10, 21))
    const answered = replies.length > 0 ? 1 : 0
    counts.answered += answered
    if (positions.every(({ noFix }) => noFix)) continue
    counts.placed++
    counts.placedAnswered += answered
  }
  if (counts.placedAnswered >= DURABLE_MIN * counts.placed) return 'durable'
  const simulated = adapter.id in ENCODERS && !isUnanswered(adapter.id as SimulatedProtocol)
  if (counts.placedAnswered > 0 || simulated) return 'partly'
  return counts.answered > 0 ? 'session' : 'none'
}

/** Text of the files of an adapter. */
function sourceOf(id: string): string {
  const url = (path: string) => new URL(path, import.meta.url)
  const parts = existsSync(url(`./protocols/${id}/`)) ? readdirSync(url(`./protocols/${id}/`)) : []
  const files = [`./protocols/${id}.ts`, ...parts.map((name) => `./protocols/${id}/${name}`)]
  return files
    .filter((file) => !file.endsWith('.test.ts'))
    .map((file) => readFileSync(url(file), 'utf8'))
    .join('\n')
}

function takesPassword(id: string): boolean {
  return /passwordOf\(|options\.devicePassword/.test(sourceOf(id))
}

/** Names behind `options.`, and those taken out of `options` at once. */
function optionsReadBy(id: string): Set<string> {
  const text = sourceOf(id)
  const single = [...text.matchAll(/\boptions\??\.(\w+)/g)].map(([, name]) => name!)
  const several = [...text.matchAll(/\{ ([\w, ]+) \} = [\w.]*session\.device\?\.options/g)].flatMap(
    ([, names]) => names!.split(', '),
  )
  return new Set([...single, ...several].filter((name) => name !== 'devicePassword'))
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
