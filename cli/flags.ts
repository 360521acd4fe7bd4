// Names of flags as a person types them, and of the variables that stand for them.

/** 'grpcPort' -> '--grpc-port' */
export function flagOf(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** '--grpc-port <port>' -> 'TORUS_GRPC_PORT' */
export function variableOf(flag: string): string {
  const name = flag.split(' ')[0] ?? '';
  return `TORUS_${name.slice(2).replaceAll('-', '_').toUpperCase()}`;
}
