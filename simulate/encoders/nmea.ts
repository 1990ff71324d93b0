/** Numbers as text protocols took them from the sentences of GPS receivers. */

const KMH_A_KNOT = 1.852

/** Degrees without their sign and minutes in one number, with four decimals of the minutes. @param digits Of the degrees. */
export function nmeaMinutes(degrees: number, digits: number): string {
  // Rounded as a whole, so that 59.99996 minutes do not become 60.
  const tenThousandths = Math.round(Math.abs(degrees) * 600_000)
  const whole = Math.floor(tenThousandths / 600_000)
  const rest = ((tenThousandths % 600_000) / 10_000).toFixed(4)
  return String(whole).padStart(digits, '0') + rest.padStart(7, '0')
}

/** With two decimals. */
export function knots(kmh: number): string {
  return (kmh / KMH_A_KNOT).toFixed(2)
}

export function northOrSouth(latitudeDeg: number): 'N' | 'S' {
  return latitudeDeg < 0 ? 'S' : 'N'
}

export function eastOrWest(longitudeDeg: number): 'E' | 'W' {
  return longitudeDeg < 0 ? 'W' : 'E'
}

/** Two digits of each part of a time, UTC. */
export function twoDigits(timeMs: number) {
  const digits = new Date(timeMs).toISOString().replace(/\D/g, '')
  return {
    year: digits.slice(2, 4),
    month: digits.slice(4, 6),
    day: digits.slice(6, 8),
    /** `hhmmss` */
    time: digits.slice(8, 14),
  }
}
