// What a server's command was given, by flags and by variables.
import { variableOf } from '../flags.ts';

type Flags = Readonly<Record<string, unknown>>;

/**
 * @param given by commander, which has looked at the variables of flags with a value
 * @param switches flags without a value: commander takes any value of their variables, 'false' too,
 *   for a yes
 */
export function serverFlags(given: Flags, switches: readonly string[]): Flags {
  const { env } = process;
  const told = switches.map((name) => [name, env[variableOf(`--${name}`)] ?? '']);
  const endpoint = env.OTEL_EXPORTER_OTLP_ENDPOINT ?? '';
  return {
    // What every program that speaks OTLP knows. Ours wins.
    ...(endpoint === '' ? {} : { traceOtlp: endpoint }),
    ...Object.fromEntries(told.filter(([, value]) => value !== '')),
    ...given,
  };
}
