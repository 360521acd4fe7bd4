// Whoever reads a program's output may leave first, as in `torus up --help | head -3`.

/**
 * From now on that is no error. A program that only prints has nothing more to do and ends quietly;
 * one with other work, a server, goes on without being heard.
 */
export function outliveReaders(hasOtherWork: boolean): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      if (!hasOtherWork) process.exit();
    });
  }
}
