// Completes package-lock.json after a change of dependencies: npm leaves out the builds for other platforms that the
// registry at hand does not serve, and `npm ci` then refuses the file. An entry without a digest is fetched by its
// version on the platform that it is for. test/tidy.test.ts holds that none is missing.
//   node .ci/complete-lock.mjs
import { readFileSync, writeFileSync } from 'node:fs'

const file = 'package-lock.json'
const lock = JSON.parse(readFileSync(file, 'utf8'))
const { packages } = lock
let added = 0
for (const [parent, { optionalDependencies = {}, license, dev }] of Object.entries(packages)) {
  if (parent === '') continue
  for (const [name, wanted] of Object.entries(optionalDependencies)) {
    const version = wanted.replace(/^[\^~]/, '')
    const top = `node_modules/${name}`
    const nested = `${parent}/node_modules/${name}`
    if (packages[nested] !== undefined || packages[top]?.version === version) continue
    const platform =
      /(android|darwin|linux|win32|freebsd|openharmony)-(arm64|arm|x64|ia32)(?:-(musl|gnu))?(?:-(\d+))?$/.exec(
        name,
      )
    if (platform === null) continue
    const [, os, cpu, libc, nodeMajor] = platform
    packages[packages[top] === undefined ? top : nested] = {
      version,
      cpu: [cpu],
      ...(dev ? { dev } : {}),
      ...(libc === undefined ? {} : { libc: [libc === 'gnu' ? 'glibc' : libc] }),
      license,
      optional: true,
      os: [os],
      ...(nodeMajor === undefined
        ? {}
        : { engines: { node: `>=${nodeMajor}.0.0 <${Number(nodeMajor) + 1}.0.0` } }),
    }
    added++
  }
}
const [[root, project], ...others] = Object.entries(packages)
others.sort(([a], [b]) => a.localeCompare(b, 'en'))
lock.packages = Object.fromEntries([[root, project], ...others])
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
process.stdout.write(`${added} builds added to ${file}\n`)
