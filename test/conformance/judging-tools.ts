// The programs of others that judge: found in the tests' cache folder, or installed into it with
// the Go toolchain and Maven. One that can't be had is told with its reason.
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTool } from '../support/outside-tools.ts';

const CACHE = process.env.TORUS_TEST_CACHE ?? join(homedir(), '.cache', 'torus-test');
const INSTALL_MS = 600_000;
/** Of an installer's output, the end is shown. */
const SHOWN_CHARACTERS = 300;

const H2SPEC = 'github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible';
const GRPC_GO = 'google.golang.org/grpc/interop/client@v1.85.0';
const GRPC_JAVA = '1.76.0';

/** A path, or why there is none. */
export type Found = { readonly path: string } | { readonly missing: string };

async function install(command: string, args: readonly string[]): Promise<string | undefined> {
  try {
    const { code, output } = await runTool(command, args, INSTALL_MS);
    return code === 0 ? undefined : `${command}: ${output.trim().slice(-SHOWN_CHARACTERS)}`;
  } catch (thrown) {
    return `${command} is not here: ${String(thrown)}`;
  }
}

async function goTool(module: string, folder: string, name: string): Promise<Found> {
  const bin = join(CACHE, folder);
  const path = join(bin, name);
  if (existsSync(path)) return { path };
  mkdirSync(bin, { recursive: true });
  const failed = await install('env', [`GOBIN=${bin}`, 'go', 'install', module]);
  return failed === undefined ? { path } : { missing: failed };
}

export const h2spec = (): Promise<Found> => goTool(H2SPEC, 'bin', 'h2spec');
export const grpcGoClient = (): Promise<Found> => goTool(GRPC_GO, 'grpc-go', 'client');

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>torus</groupId><artifactId>interop</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>io.grpc</groupId><artifactId>grpc-interop-testing</artifactId>
    <version>${GRPC_JAVA}</version>
  </dependency></dependencies>
</project>
`;

/** The folder of the jars. */
export async function grpcJavaJars(): Promise<Found> {
  const lib = join(CACHE, 'grpc-java', 'lib');
  if (existsSync(lib)) return { path: lib };
  mkdirSync(join(CACHE, 'grpc-java'), { recursive: true });
  const work = mkdtempSync(join(tmpdir(), 'torus-interop-'));
  try {
    const [pom, jars] = [join(work, 'pom.xml'), join(CACHE, 'grpc-java', 'lib.new')];
    writeFileSync(pom, POM);
    const goal = 'dependency:copy-dependencies';
    const failed = await install('mvn', ['-q', '-B', '-f', pom, goal, `-DoutputDirectory=${jars}`]);
    if (failed !== undefined) return { missing: failed };
    renameSync(jars, lib);
    return { path: lib };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
