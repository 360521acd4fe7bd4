// Counts the bytes of buffers that code under test asks for: a few bytes of input must not make
// anybody allocate many. Buffer's own functions are replaced while something is measured.

type Allocate = (size: number, ...rest: never[]) => Buffer;
const NAMES = ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const;

/** Bytes of all buffers that `act` asked for by size, itself or through what it called. */
export function allocatedBytes(act: () => void): number {
  let bytes = 0;
  const own = NAMES.map((name) => Buffer[name] as Allocate);
  const concat = Buffer.concat;
  NAMES.forEach((name, at) => {
    const allocate = own[at] as Allocate;
    Object.assign(Buffer, {
      [name]: (size: number, ...rest: never[]) => {
        bytes += size;
        return allocate.call(Buffer, size, ...rest);
      },
    });
  });
  // Its own allocation goes around the functions above.
  Buffer.concat = (list, totalLength) => {
    const made = concat.call(Buffer, list, totalLength);
    bytes += made.length;
    return made;
  };
  try {
    act();
  } finally {
    NAMES.forEach((name, at) => {
      Object.assign(Buffer, { [name]: own[at] });
    });
    Buffer.concat = concat;
  }
  return bytes;
}
