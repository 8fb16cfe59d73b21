import type { Disk, DiskFile } from './disk.ts'

/**
 * A disk that is read and never changed: writes and deletions do nothing, and a file that would be made is an empty one.
 * For tools that show what a start would do.
 */
export function readOnlyDisk(disk: Disk): Disk {
  const nothing = async (): Promise<void> => {}
  const unwritten = {
    write: nothing,
    writeNow: () => {},
    writeDurably: nothing,
    appendDurably: nothing,
    datasync: nothing,
    truncate: nothing
  }
  return {
    async open(path, options): Promise<DiskFile> {
      if (options?.create !== true || (await disk.exists(path))) {
        const file = await disk.open(path)
        return {
          path,
          read: (target, offset, length, position) => file.read(target, offset, length, position),
          ...unwritten,
          size: () => file.size(),
          close: () => file.close()
        }
      }
      const empty = async (): Promise<number> => 0
      return {
        path,
        read: empty,
        ...unwritten,
        size: empty,
        close: nothing
      }
    },
    makeDirectory: nothing,
    list: path => disk.list(path),
    exists: path => disk.exists(path),
    readFile: path => disk.readFile(path),
    writeFileAtomic: nothing,
    rename: nothing,
    remove: nothing,
    syncDirectory: nothing,
    space: path => disk.space(path),
    identity: path => disk.identity(path)
  }
}
