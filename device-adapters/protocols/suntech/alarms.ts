/** Numbers of alerts and emergencies to the names that `alarm` has. */

/** ALT_ID of alert reports. */
export const ALERTS: ReadonlyMap<number, string> = new Map([
  [1, 'overspeed'],
  [5, 'geofenceExit'],
  [6, 'geofenceEnter'],
  [14, 'lowBattery'],
  [15, 'vibration'],
  [16, 'accident'],
  [40, 'powerRestored'],
  [41, 'powerCut'],
  [42, 'sos'],
  [46, 'hardAcceleration'],
  [47, 'hardBraking'],
  [50, 'jamming'],
  [132, 'door'],
])

/** EMG_ID of emergency reports: by panic button, parking lock, removed power, anti-theft, motion, anti-theft shock. */
export const EMERGENCIES: ReadonlyMap<number, string> = new Map([
  [1, 'sos'],
  [2, 'parking'],
  [3, 'powerCut'],
  [5, 'door'],
  [6, 'door'],
  [7, 'movement'],
  [8, 'vibration'],
])
