/** A sector that the disk cannot give back is damage like any other, and does not end the node. */
export function ignoreUnreadable(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error
}
