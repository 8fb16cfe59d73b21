/** The machine that the process runs on. */
export interface Host {
  /**
   * Names the present boot of the machine: another one after every reset or power loss, the same
   * over restarts of the process. In a container it is the machine's. '' when it cannot be told.
   */
  bootId(): Promise<string>
  /** Of the machine, or of the container where that has a limit, bytes. */
  memoryBytes(): number
  /** Files and connections that the process may have open at once. */
  openFilesMax(): number
}
