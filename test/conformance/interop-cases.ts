// The cases of gRPC's interoperability clients that apply to a server without credentials of Google
// and without a caching proxy, and how each client is run on one.
import { runTool } from '../support/outside-tools.ts';

const CASE_MS = 60_000;
const SHOWN_CHARACTERS = 400;

/** Has the client look at load reports, as the description of the two cases asks. */
const LOAD_BALANCER = '{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}';

function serviceConfig(flag: string, testCase: string): string[] {
  return testCase.startsWith('orca_') ? [`${flag}=${LOAD_BALANCER}`] : [];
}

const COMMON_CASES = [
  'empty_unary',
  'large_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'timeout_on_sleeping_server',
  'cancel_after_begin',
  'cancel_after_first_response',
  'status_code_and_message',
  'special_status_message',
  'custom_metadata',
  'unimplemented_method',
  'unimplemented_service',
  'pick_first_unary',
  'rpc_soak',
  'channel_soak',
  'orca_per_rpc',
  'orca_oob',
] as const;

/** What grpc-go's client lacks. */
const COMPRESSION_CASES = [
  'client_compressed_unary',
  'client_compressed_unary_noprobe',
  'client_compressed_streaming',
  'client_compressed_streaming_noprobe',
  'server_compressed_unary',
  'server_compressed_streaming',
] as const;

export interface Outcome {
  readonly name: string;
  /** Undefined: passed. */
  readonly failure: string | undefined;
}

export interface InteropClient {
  readonly name: string;
  readonly cases: readonly string[];
  readonly program: string;
  args(port: number, testCase: string): readonly string[];
}

export function grpcGo(program: string): InteropClient {
  return {
    name: 'grpc-go',
    cases: COMMON_CASES,
    program,
    args: (port, testCase) => [
      '-server_host=127.0.0.1',
      `-server_port=${port}`,
      `-test_case=${testCase}`,
      ...serviceConfig('-service_config_json', testCase),
    ],
  };
}

export function grpcJava(jars: string): InteropClient {
  return {
    name: 'grpc-java',
    cases: [...COMMON_CASES, ...COMPRESSION_CASES, 'very_large_request'],
    program: 'java',
    args: (port, testCase) => [
      '-XX:TieredStopAtLevel=1',
      '-cp',
      `${jars}/*`,
      'io.grpc.testing.integration.TestServiceClient',
      '--server_host=127.0.0.1',
      `--server_port=${port}`,
      '--use_tls=false',
      `--test_case=${testCase}`,
      ...serviceConfig('--service_config_json', testCase),
    ],
  };
}

/** One case after the other: the clients are quick, and some cases take turns on the server. */
export async function runCases(
  client: InteropClient,
  port: number,
  cases: readonly string[] = client.cases,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const name of cases) {
    const { code, output } = await runTool(client.program, client.args(port, name), CASE_MS);
    const text = output.trim().slice(-SHOWN_CHARACTERS);
    outcomes.push({ name, failure: code === 0 ? undefined : `exit ${code}: ${text}` });
  }
  return outcomes;
}
