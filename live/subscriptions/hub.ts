/** What all subscriptions share. */
import type { Logger } from 'pino'
import type { AreaScopes } from '../areas/area-scopes.ts'
import type { AreaReader } from '../areas/area-storage.ts'
import type { GeofenceAreas } from '../areas/geofence-areas.ts'
import type { GroupScopes } from '../areas/group-scopes.ts'
import type { Move } from '../log/last-positions.ts'
import type { StreamLog } from '../log/stream-log.ts'
import type { LiveMetrics } from '../metrics.ts'
import type { LiveLimits } from '../options.ts'
import type { Replays } from '../replay/replays.ts'
import type { Chunks } from './chunks.ts'
import type { CommitPages } from './commit-pages.ts'
import type { Feed } from './feed.ts'
import type { GrantedScopes } from './granted-scopes.ts'
import type { SlotIndex } from './slot-filter.ts'

/** What is fed by the log. */
export interface LogSubscriber extends Feed {
  /** The organisation of devices has changed, or they are disabled or gone. */
  moved(moves: readonly Move[]): void
  /** The stream is about to leave out what it can not catch up with: only the newest follows. */
  jump(): void
}

/** What reads the past. */
export interface History {
  readonly replays: Replays
  readonly log: Logger
}

export interface Hub {
  readonly stream: StreamLog
  readonly chunks: Chunks
  readonly pages: CommitPages
  readonly slots: SlotIndex
  readonly granted: GrantedScopes
  readonly groups: GroupScopes
  readonly areas: AreaScopes
  readonly geofences: GeofenceAreas
  readonly areaReader: AreaReader
  /** Feeds of the log that are open. */
  readonly logFeeds: Set<LogSubscriber>
  /** Feeds that also want a {@link Feed.tick} when the log does not grow, about every 50 ms: those with a clock. */
  readonly clocked: Set<Feed>
  /** Left out where nothing is stored. */
  readonly history?: History
  readonly limits: LiveLimits
  readonly metrics: LiveMetrics
}
