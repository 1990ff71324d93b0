import { expect, test } from 'vitest'
import {
  formatAge,
  formatAttributes,
  formatCourse,
  formatDistance,
  formatPlace,
  formatSpeed,
  formatWait,
} from './format.ts'

test('speeds, courses, places and distances carry their units', () => {
  expect([formatSpeed(43.4), formatSpeed(0), formatSpeed(null)]).toEqual(['43 km/h', '0 km/h', '–'])
  expect([formatCourse(312), formatCourse(0), formatCourse(359.7), formatCourse(null)]).toEqual([
    '312° NW',
    '0° N',
    '0° N',
    '–',
  ])
  expect(formatPlace(30.2672, -97.7431)).toBe('30.26720° N, 97.74310° W')
  expect([formatDistance(840), formatDistance(19_640)]).toEqual(['840 m', '19.6 km'])
})

test('ages are as exact as they need to be', () => {
  const ages = [-500, 0, 59_400, 60_000, 7_260_000, 7_200_000, 43_500_000, 260_000_000]
  expect(ages.map(formatAge)).toEqual(['0 s', '0 s', '59 s', '1 min', '2 h 1 min', '2 h', '12 h', '3 days'])
})

test('a wait is said in words, about', () => {
  expect([0, 60_000, 2_700_000, 3_600_000, 86_400_000, 604_800_000].map(formatWait)).toEqual([
    '1 minute',
    '1 minute',
    '45 minutes',
    '1 hour',
    '24 hours',
    '7 days',
  ])
})

test('attributes have a name and a unit, the known ones first', () => {
  const shown = formatAttributes({
    io10: 3,
    io9: 'abc',
    batteryLevel: 97,
    odometer: 183_456_789,
    ignition: true,
    hours: 4.2e10,
    temp1: -18.25,
    door: false,
    list: [1, 2],
    network: { radioType: 'gsm', cellTowers: [{ cid: 1 }], wifi: [{}, {}] },
    empty: '',
  })
  expect(shown.map(({ label, value, unit }) => `${label}: ${value} ${unit}`.trim())).toEqual([
    'Ignition: on',
    'Door: closed',
    'Odometer: 183,456.8 km',
    'Engine hours: 11,666.7 h',
    'Battery level: 97 %',
    'empty: –',
    'io9: abc',
    'io10: 3',
    'list: [1,2]',
    'Network: 1 cell, 2 Wi-Fi',
    'Temperature 1: -18.25 °C',
  ])
})
