/** Directions of H3 from a cell to its children, one resolution or two at a step. */

/** Bits of a direction in an index. */
export const DIGIT_BITS = 3
/** In place of a direction that an index does not use. */
export const NO_DIGIT = 7

/** Directions 0 … 6 as steps of the lattice, at 4 + 3 * a + b, and turned by 60° anticlockwise so many times. */
export const digitOfStep = new Uint8Array(9)
export const turned = new Uint8Array(6 * 8)
/** Steps (a, b) of each direction: 0 is the centre, the others follow H3's numbers. */
export const DIGIT_STEPS: readonly (readonly [number, number])[] = [
  [0, 0],
  [-1, -1],
  [0, 1],
  [-1, 0],
  [1, 0],
  [0, -1],
  [1, 1],
]
for (const [digit, [a, b]] of DIGIT_STEPS.entries()) {
  digitOfStep[4 + 3 * a + b] = digit
}
for (const [digit, [a0, b0]] of DIGIT_STEPS.entries()) {
  let a = a0
  let b = b0
  for (let turns = 0; turns < 6; turns++) {
    turned[turns * 8 + digit] = digitOfStep[4 + 3 * a + b]!
    // A turn by 60° takes the first axis to the sum of both, and the second to the first turned back.
    const next = a - b
    b = a
    a = next
  }
}

/**
 * Two resolutions together make the lattice seven times finer and turn it by nothing: from an even resolution two up,
 * what steps along both axes leave when divided by 7, as 7 * a + b, tells both directions, and what the quotients lack.
 * 1.3 times as many a second as one resolution after the other.
 */
export const pairOfRest = new Uint8Array(49)
export const carryA = new Int8Array(49)
export const carryB = new Int8Array(49)
/** Both directions turned by 60° so many times, at 64 * turns. */
export const turnedPairs = new Uint8Array(6 * 64)
for (const [first, [a, b]] of DIGIT_STEPS.entries()) {
  for (const [second, [c, d]] of DIGIT_STEPS.entries()) {
    const stepsA = 3 * a - b + c
    const stepsB = a + 2 * b + d
    const restA = (stepsA + 14) % 7
    const restB = (stepsB + 14) % 7
    pairOfRest[7 * restA + restB] = (first << DIGIT_BITS) | second
    carryA[7 * restA + restB] = (restA - stepsA) / 7
    carryB[7 * restA + restB] = (restB - stepsB) / 7
  }
  for (let turns = 0; turns < 6; turns++) {
    const firstTurned = turned[8 * turns + first]! << DIGIT_BITS
    for (let second = 0; second < 7; second++) {
      turnedPairs[64 * turns + 8 * first + second] = firstTurned | turned[8 * turns + second]!
    }
    turnedPairs[64 * turns + 8 * first + NO_DIGIT] = firstTurned | NO_DIGIT
  }
}
