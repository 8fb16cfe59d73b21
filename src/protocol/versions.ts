/**
 * RocketMQ's version numbers are ordinals of an enumeration with two entries for each release, `Vx_y_z_SNAPSHOT` and `Vx_y_z`
 * (remoting.md 1.5). Only the first ones are irregular, so the table is computed.
 */
const names: string[] = makeNames()

/** Ordinals that decide behaviour, by the release they stand for (remoting.md 1.5). */
export const Version = {
  V3_0_7_SNAPSHOT: 28,
  V3_0_11: 37,
  V3_1_8_SNAPSHOT: 62,
  V3_4_9: 121,
  V4_1_0_SNAPSHOT: 232,
  V4_9_3: 399,
  V4_9_4: 401,
  V4_9_7: 407,
  V4_9_8: 409,
  V5_0_0: 413,
  V5_3_1: 475,
  V5_3_3: 479
} as const

/** Name of a version ordinal, such as `V5_3_3`; numbers beyond the table are HIGHER_VERSION, negative ones the first. */
export function versionName(ordinal: number): string {
  return names[Math.max(0, ordinal)] ?? 'HIGHER_VERSION'
}

/** Ordinal of a name such as `V5_3_3`, or -1. */
export function versionOrdinal(name: string): number {
  return names.indexOf(name)
}

function makeNames(): string[] {
  const made = ['V3_0_0_SNAPSHOT', 'V3_0_0_ALPHA1']
  for (let beta = 1; beta <= 9; beta++) {
    if (beta >= 6) made.push(`V3_0_0_BETA${beta}_SNAPSHOT`)
    made.push(`V3_0_0_BETA${beta}`)
  }
  made.push('V3_0_0_FINAL')
  const release = (major: number, minor: number, patch: number): void => {
    made.push(`V${major}_${minor}_${patch}_SNAPSHOT`, `V${major}_${minor}_${patch}`)
  }
  for (let patch = 1; patch <= 15; patch++) release(3, 0, patch)
  for (let minor = 1; minor <= 2; minor++)
    for (let patch = 0; patch <= 9; patch++) release(3, minor, patch)
  for (let minor = 3; minor <= 9; minor++)
    for (let patch = 1; patch <= 9; patch++) release(3, minor, patch)
  for (let major = 4; major <= 5; major++)
    for (let minor = 0; minor <= 9; minor++)
      for (let patch = 0; patch <= 9; patch++) release(major, minor, patch)
  made.push('HIGHER_VERSION')
  return made
}
