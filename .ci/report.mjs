// Reads the JSON report of a Vitest run: its first line is `passed failed`, then one line a test or file that failed.
import { readFileSync } from 'node:fs'

const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(process.argv[2], 'utf8'))
process.stdout.write(`${numPassedTests} ${numFailedTests}\n`)
for (const { name, status, message, assertionResults } of testResults) {
  const failed = assertionResults.filter((test) => test.status === 'failed')
  for (const { fullName, failureMessages } of failed) tell(fullName, failureMessages[0])
  if (status === 'failed' && failed.length === 0) tell(name, message)
}

function tell(what, why = '') {
  process.stdout.write(`failed: ${what}: ${why.split('\n')[0]}\n`)
}
