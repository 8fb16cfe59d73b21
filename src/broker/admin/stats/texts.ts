const msPerSecond = 1_000
const secondsPerDay = 86_400

/** `[ 0 days, 0 hours, 5 minutes, 20 seconds ]`. */
export function runtimeText(elapsedMs: number): string {
  const seconds = Math.max(0, Math.floor(elapsedMs / msPerSecond))
  const days = Math.floor(seconds / secondsPerDay)
  const hours = Math.floor((seconds % secondsPerDay) / 3_600)
  const minutes = Math.floor((seconds % 3_600) / 60)
  return `[ ${days} days, ${hours} hours, ${minutes} minutes, ${seconds % 60} seconds ]`
}

const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']

/** `0 B`, `78.7 GiB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`
  let scaled = bytes / 1_024
  let unit = 0
  while (scaled >= 1_024 && unit < units.length - 1) {
    scaled /= 1_024
    unit++
  }
  return `${scaled.toFixed(1)} ${units[unit]}`
}
