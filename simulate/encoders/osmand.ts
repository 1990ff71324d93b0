/**
 * OsmAnd live tracking over HTTP: `GET /?id=…&timestamp=…&lat=…&lon=…&speed=…&bearing=…`, answered by status 200.
 * The timestamp is in ms since 1970, the speed in knots.
 *
 * Source: "OsmAnd protocol", traccar.org/osmand.
 */
import type { HttpEncoder } from './encoder.ts'

const KMH_A_KNOT = 1.852

export const osmand: HttpEncoder = {
  protocol: 'osmand',
  transport: 'http',
  port: 5055,
  timeStepMs: 1,
  namedByImei: false,
  reportsMax: 1,

  target(uniqueId, report) {
    const query = new URLSearchParams({
      id: uniqueId,
      timestamp: String(Math.round(report.fixTimeMs)),
      lat: report.latitudeDeg.toFixed(7),
      lon: report.longitudeDeg.toFixed(7),
      speed: (report.speedKmh / KMH_A_KNOT).toFixed(3),
      bearing: report.courseDeg.toFixed(1),
      ...(report.altitudeM === undefined ? {} : { altitude: report.altitudeM.toFixed(1) }),
      sat: String(report.satellites),
      ignition: String(report.ignition),
      odometer: String(Math.round(report.odometerM)),
    })
    return `/?${query}`
  },
}
