/** `fleetflow start`: the engine until it is told to stop. */
import { pathToFileURL } from 'node:url'
import { pino } from 'pino'
import { type Config, readConfig } from '../config.ts'
import { loadAdapters } from '../device-adapters/registry.ts'
import { type FleetFlow, startFleetFlow } from '../start.ts'

/** Longest time for everything to stop; what is acknowledged is stored long before, ms. */
const STOP_TIMEOUT_MS = 60_000

export async function start(options: { readonly role?: readonly string[] } = {}): Promise<void> {
  const stopped = stopSignal()
  const { running } = await startFromEnvironment({ roles: options.role ?? [] })
  announce(running)
  process.stdout.write('ready\n')
  await stopped
  await stopEngine(running)
}

/**
 * Starts the engine with the configuration of the environment.
 * @param roles As the command line gives them; none = all.
 * @param overlayFile GeoJSON that the dashboard draws over the basemap, a path.
 * @throws ConfigError before a socket opens, if the configuration is wrong.
 */
export async function startFromEnvironment(
  options: { readonly roles?: readonly string[]; readonly overlayFile?: string } = {},
): Promise<{ readonly running: FleetFlow; readonly config: Config }> {
  const adapters = await loadAdapters()
  const config = readConfig(process.env, [...adapters.keys()], options.roles)
  // Standard output is for people and scripts, standard error for the log.
  const log = pino({ level: config.logLevel, base: null }, pino.destination({ fd: 2, sync: true }))
  const running = await startFleetFlow({
    config,
    adapters,
    log,
    ...(options.overlayFile === undefined ? {} : { overlayFile: pathToFileURL(options.overlayFile) }),
    onFailure: (error) => {
      log.fatal({ err: error }, 'a part of the engine died: the process ends, nothing more is acknowledged')
      process.exit(1)
    },
  })
  return { running, config }
}

/** One line a listener. */
export function announce(running: FleetFlow): void {
  const lines = running.listeners.map(
    ({ protocol, transport, host, port }) => `${protocol.padEnd(10)} ${transport.padEnd(4)} ${host}:${port}`,
  )
  const { roles, streamUrl, apiUrl, admin } = running
  if (roles.has('live')) lines.push(`${'stream'.padEnd(10)} ws   ${streamUrl}`)
  lines.push(`${(roles.has('api') ? 'api' : 'health').padEnd(10)} http ${apiUrl}`)
  process.stdout.write(`${lines.join('\n')}\n`)
  if (admin?.password !== undefined) {
    process.stdout.write(`admin      ${admin.email} ${admin.password} (shown once)\n`)
  }
}

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once. */
export function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false
    const stop = () => {
      if (asked) process.exit(1)
      asked = true
      resolve()
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)
  })
}

/** Stops everything; ends the process where a part does not come to its end. */
export async function stopEngine(running: FleetFlow): Promise<void> {
  const late = setTimeout(() => {
    process.stderr.write(`fleetflow: not stopped within ${STOP_TIMEOUT_MS / 1000} s: the process ends\n`)
    process.exit(1)
  }, STOP_TIMEOUT_MS)
  await running.stop()
  clearTimeout(late)
}
