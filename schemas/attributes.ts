/**
 * Attributes: what a device reports beside time and place. The frequent ones ("readings") have a column of
 * their own in {@link PositionBatch} and in the table `positions`; every other key stays a sparse attribute.
 */

/** A value of an attribute. Objects never: structured values are given as JSON text, see `PositionBatch.setJson`. */
export type AttributeValue = number | boolean | string

/**
 * Readings: attribute key, its column in the batch, its column in SQL, and the type that the column takes.
 * A value of another type under the same key (an `event` that is text, say) stays a sparse attribute.
 */
export const READINGS = [
  { key: 'sat', column: 'satellites', sql: 'satellites', type: 'number', unit: 'satellites used in the fix' },
  { key: 'hdop', column: 'hdop', sql: 'hdop', type: 'number', unit: 'dimensionless' },
  { key: 'odometer', column: 'odometerM', sql: 'odometer_m', type: 'number', unit: 'm' },
  {
    key: 'hours',
    column: 'engineHoursMs',
    sql: 'engine_hours_ms',
    type: 'number',
    unit: 'ms of running engine',
  },
  { key: 'power', column: 'powerV', sql: 'power_v', type: 'number', unit: 'V, supply of the vehicle' },
  { key: 'battery', column: 'batteryV', sql: 'battery_v', type: 'number', unit: 'V, battery of the device' },
  { key: 'batteryLevel', column: 'batteryPercent', sql: 'battery_percent', type: 'number', unit: '%' },
  { key: 'fuel', column: 'fuelL', sql: 'fuel_l', type: 'number', unit: 'l' },
  { key: 'rssi', column: 'rssi', sql: 'rssi', type: 'number', unit: 'raw, as the protocol has it' },
  { key: 'event', column: 'event', sql: 'event', type: 'number', unit: 'event number of the protocol' },
  { key: 'ignition', column: 'ignition', sql: 'ignition', type: 'boolean', unit: '' },
  { key: 'motion', column: 'motion', sql: 'motion', type: 'boolean', unit: '' },
  { key: 'alarm', column: 'alarm', sql: 'alarm', type: 'string', unit: 'names of ALARMS, comma-separated' },
] as const

export type Reading = (typeof READINGS)[number]
