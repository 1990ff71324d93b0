/** What text and binary reports of Meitrack share: numbers of events, and signals. */

/** Events that are alarms. */
export const ALARMS: ReadonlyMap<number, string> = new Map([
  [1, 'sos'],
  [17, 'lowBattery'],
  [18, 'lowPower'],
  [19, 'overspeed'],
  [20, 'geofenceEnter'],
  [21, 'geofenceExit'],
  [22, 'powerRestored'],
  [23, 'powerCut'],
  [36, 'tow'],
  [44, 'jamming'],
  [78, 'accident'],
  [90, 'hardCornering'],
  [91, 'hardCornering'],
  [129, 'hardBraking'],
  [130, 'hardAcceleration'],
  [135, 'fatigueDriving'],
])

/** Event of a report that answers the command A10. */
export const ASKED = 34
/** Event of a driver's card or key; its data are the number of it. */
export const DRIVER = 37

/** Signal of a tower: some devices leave out the sign. */
export function signalOf(value: number): number {
  return 0 - Math.abs(value)
}
