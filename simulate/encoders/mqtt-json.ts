/**
 * FleetFlow's own JSON over MQTT 3.1.1, QoS 1, on topic `devices/{uniqueId}/positions`: one object a message, its fields
 * named and measured as in the API. Answered by the PUBACK.
 */
import type { MqttEncoder } from './encoder.ts'

export const mqttJson: MqttEncoder = {
  protocol: 'mqtt-json',
  transport: 'mqtt',
  port: 1883,
  timeStepMs: 1,
  namedByImei: false,
  reportsMax: 10,

  topic: (uniqueId) => `devices/${uniqueId}/positions`,

  payload: (report) =>
    JSON.stringify({
      fixTime: new Date(report.fixTimeMs).toISOString(),
      latitude: Number(report.latitudeDeg.toFixed(7)),
      longitude: Number(report.longitudeDeg.toFixed(7)),
      altitude: report.altitudeM,
      speed: Number(report.speedKmh.toFixed(2)),
      course: Number(report.courseDeg.toFixed(1)),
      satellites: report.satellites,
      attributes: {
        ignition: report.ignition,
        motion: report.speedKmh >= 1,
        odometer: Math.round(report.odometerM),
        power: Number(report.powerV.toFixed(2)),
        battery: Number(report.batteryV.toFixed(2)),
      },
    }),
}
