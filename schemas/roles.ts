/** Roles of users, from the most to the least that they may do. */
import { z } from 'zod'

export const ROLES = ['super-admin', 'admin', 'manager', 'dispatcher', 'driver', 'viewer'] as const
export const Role = z.enum(ROLES)
export type Role = z.infer<typeof Role>

/** Whether `role` may do what `least` may do. A super admin belongs to no organisation and may act in each. */
export function roleAtLeast(role: Role, least: Role): boolean {
  return ROLES.indexOf(role) <= ROLES.indexOf(least)
}
