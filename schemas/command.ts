/** Commands from the server to a device, independent of protocol. */
export interface Commands {
  /** Cuts fuel or ignition. */
  engineStop: object
  engineResume: object
  /** Sends `text` as the protocol's own free-form command. */
  custom: { readonly text: string }
}

export type CommandKind = keyof Commands
export type Command<K extends CommandKind = CommandKind> = { readonly kind: K } & Commands[K]
