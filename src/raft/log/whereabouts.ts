/**
 * Whether a file is another one than that whose identity was noted (`Disk.identity`): a copy, or a backup that was put back. Such a
 * file holds what the node knew at some earlier time, and what it promised since is not in it (R-D7).
 */
export function isElsewhere(noted: string, found: string): boolean {
  if (noted === '' || found === '') return false
  const [inode, born = '0'] = noted.split('.')
  const [inodeNow, bornNow = '0'] = found.split('.')
  return inode !== inodeNow || (born !== '0' && bornNow !== '0' && born !== bornNow)
}
