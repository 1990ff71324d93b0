import { expect, test } from 'vitest'
import { ConfigError, readConfig } from './config.ts'

const read = (variables: Record<string, string>, ...roles: string[]) =>
  readConfig(variables, ['teltonika', 'gt06'], roles)

test('nothing given is a server on this machine only', () => {
  const config = read({})
  expect(config).toMatchObject({
    host: '127.0.0.1',
    port: 8080,
    streamPort: 8081,
    deviceHost: '127.0.0.1',
    protocols: undefined,
    databaseUrl: undefined,
    // What is stored stays until somebody says otherwise.
    positionPolicies: { compressAfterDays: 7, keepDays: 0 },
    streamResumeHours: 24,
    unknownDevices: 'quarantine',
    adminPassword: undefined,
  })
  expect(Object.isFrozen(config)).toBe(true)
})

test('an empty variable counts as absent', () => {
  expect(read({ PORT: '', DATABASE_URL: '' }).port).toBe(8080)
})

test('PROTOCOLS names protocols and their ports', () => {
  expect([...read({ PROTOCOLS: 'teltonika:5027, mqtt:0' }).protocols!]).toEqual([
    ['teltonika', 5027],
    ['mqtt', 0],
  ])
})

test('the port of all protocols is there unless PROTOCOLS says which ports there are, or it is off', () => {
  expect(read({}).detectPort).toBe(5000)
  expect(read({ DETECT_PORT: '0' }).detectPort).toBe(0)
  expect(read({ DETECT_PORT: 'off' }).detectPort).toBeUndefined()
  expect(read({ PROTOCOLS: 'gt06:5023' }).detectPort).toBeUndefined()
  expect(read({ PROTOCOLS: 'gt06:5023', DETECT_PORT: '5001' }).detectPort).toBe(5001)
  expect(() => read({ DETECT_PORT: 'on' })).toThrow('DETECT_PORT: must be a port, 0 for any free one, or off')
})

test('every fault is named in one message', () => {
  const faulty = {
    PORT: '99999',
    PROTOCOLS: 'teltonika,gt06:1,gt06:2',
    DATABASE_URL: 'mysql://x',
    ADMIN_PASSWORD: 'short',
    UNKNOWN_DEVICES: 'register',
    NODE_ENV: 'production',
  }
  const message = (() => {
    try {
      read(faulty)
      return ''
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError)
      return (error as Error).message
    }
  })()
  for (const named of ['PORT', 'PROTOCOLS', 'DATABASE_URL', 'ADMIN_PASSWORD'])
    expect(message).toContain(named)
})

test('a secret is required in production, and an organisation for devices that register themselves', () => {
  expect(() => read({ NODE_ENV: 'production' })).toThrow(/JWT_SECRET/)
  expect(() => read({ UNKNOWN_DEVICES: 'register' })).toThrow(/DEFAULT_ORGANIZATION/)
})

test('a protocol that is not there is told, with those that are', () => {
  expect(() => read({ PROTOCOLS: 'gt07:5023' })).toThrow(
    /no protocol "gt07"; there are teltonika, gt06, mqtt/,
  )
})

test('LIMITS sets limits of ingest, each by its name', () => {
  expect(read({}).limits).toEqual({})
  expect(read({ LIMITS: 'connectionsMax=1000, idleTimeoutMs = 60000' }).limits).toEqual({
    connectionsMax: 1000,
    idleTimeoutMs: 60_000,
  })
})

test('each fault of LIMITS is named', () => {
  const items = ['conectionsMax=1', 'idleTimeoutMs', 'frameBytesMax=0', 'heldBytesMax=-5', 'spillAfterMs=1.5']
  const twice = ['connectionsMax=1', 'connectionsMax=2']
  const tooMuch = ['stopTimeoutMs=3000000000', 'uniqueIdLengthMax=129']
  let message = ''
  try {
    read({ LIMITS: [...items, ...twice, ...tooMuch].join(',') })
  } catch (error) {
    message = (error as Error).message
  }
  for (const item of items.slice(0, 2)) expect(message).toContain(`"${item}" is not NAME=NUMBER`)
  for (const [name, value] of items.slice(2).map((item) => item.split('=')))
    expect(message).toMatch(new RegExp(`${name} must be .* not "${value}"`))
  expect(message).toContain('connectionsMax is set twice')
  expect(message).toContain('stopTimeoutMs must be a whole number from 1 to 2147483647')
  expect(message).toContain('uniqueIdLengthMax must be a whole number from 1 to 128')
})

const SHARED = {
  DATABASE_URL: 'postgres://fleetflow@localhost/fleetflow',
  JWT_SECRET: 'a secret of the tests that is long enough',
}

test('a process does all, unless it is told its roles, one by one or together', () => {
  expect([...read({}).roles]).toEqual(['ingest', 'live', 'api'])
  expect([...read(SHARED, 'live').roles]).toEqual(['live'])
  expect([...read(SHARED, 'ingest,live', 'api').roles]).toEqual(['ingest', 'live', 'api'])
  expect(() => read({}, 'ingest', 'lives')).toThrow('--role: no role "lives"; there are ingest, live, api')
})

test('what the processes of a fleet must have in common is asked for, with the role that needs it', () => {
  expect(() => read({}, 'live')).toThrow(/DATABASE_URL: is required with --role/)
  expect(() => read({}, 'live')).toThrow(/JWT_SECRET: is required with --role live or api/)
  expect(() => read({ DATABASE_URL: SHARED.DATABASE_URL }, 'ingest')).not.toThrow()
  expect(() => read(SHARED, 'api')).toThrow(/STREAM_URL: is required with --role api without live/)
  expect(() => read({ ...SHARED, STREAM_URL: 'wss://stream.fleet.example' }, 'api')).not.toThrow()
  // One process that is given all roles is like one that is given none.
  expect(() => read({}, 'ingest,live,api')).not.toThrow()
})

test('REDIS_URL with a password that can not be read is told, without the password', () => {
  expect(read({ REDIS_URL: 'rediss://:open%20sesame@redis:6379' }).redisUrl).toContain('open%20sesame')
  let message = ''
  try {
    read({ REDIS_URL: 'redis://:se%same@redis:6379' })
  } catch (error) {
    message = (error as Error).message
  }
  expect(message).toMatch(/^ {2}REDIS_URL: has a user or password/m)
  expect(message).not.toContain('same@')
})
