// Starts every role in order: what others need comes first, and is stopped last.
import { hostname } from 'node:os';
import { systemClock } from '../../common/clock.ts';
import type { Log } from '../../common/log.ts';
import {
  collectLoopLag,
  collectProcessMetrics,
  createMetrics,
  renderMetrics,
  snapshot,
} from '../../common/metrics.ts';
import { type Control, startControl } from '../../control/control.ts';
import { SINGLE_PROCESS_TIMING } from '../../control/leader.ts';
import { startGateway } from '../../gateway/gateway.ts';
import { type Ingest, startIngest } from '../../ingest/ingest.ts';
import { GRPCInferenceServiceDefinition } from '../../proto/gen/inference/grpc_service.ts';
import { MemoryRegistry } from '../../registry/memory.ts';
import { startTrainer } from '../../trainer/trainer.ts';
import type { GrpcListener } from '../../transport/grpc-listener.ts';
import { serveGrpc } from '../../transport/grpcjs/server.ts';
import { pathsOf } from '../../transport/late-backend.ts';
import { formatAddress } from '../../transport/listen.ts';
import { serveObserve } from '../../transport/observe.ts';
import { mergeBackends } from '../../transport/service.ts';
import { readDescriptors } from '../../transport/services/descriptors.ts';
import { Health, healthService } from '../../transport/services/health.ts';
import { withReflection } from '../../transport/services/reflection.ts';
import { checkAdminListen } from '../../transport/tls/admin-listen.ts';
import { type BearerTokens, withTokens } from '../../transport/tls/bearer-tokens.ts';
import { countCertificate } from '../tls-metrics.ts';
import { tokensOf } from '../tls-settings.ts';
import { serveBlobPort } from './blob-port.ts';
import type { Closers } from './closers.ts';
import { type PlaneThread, startPlaneThread } from './plane-thread.ts';
import type { UpSettings } from './settings.ts';
import type { OpenStores } from './stores.ts';

const INFERENCE_METHODS = pathsOf([GRPCInferenceServiceDefinition]);

/** A drain that takes longer is cut: the process ends within 10 s of the signal. */
const DRAIN_MS = 6_000;
/** A run that takes longer than that is not waited for, so that the stores are closed in time. */
const STOP_MS = 2_000;

export interface RunningRoles {
  readonly addresses: {
    readonly http: string;
    readonly grpc: string;
    readonly metrics: string;
    readonly admin: string;
  };
  readonly ingest: Ingest;
  /** What is not ready yet, by role; empty: ready. */
  waitingFor(): Promise<readonly string[]>;
}

export interface RolesOptions {
  readonly settings: UpSettings;
  readonly stores: OpenStores;
  /** Without a role: each gets a child. */
  readonly rootLog: Log;
  readonly closers: Closers;
  readonly onFatal: (error: Error) => void;
}

export async function startRoles(options: RolesOptions): Promise<RunningRoles> {
  const { settings, stores, rootLog, closers, onFatal } = options;
  const { host, isInsecure, tls } = settings;
  const tokens = tokensOf(settings.adminTokenFile);
  checkAdminListen({ host, tls, tokens });
  const { catalog, blobs, datasets } = stores;
  const metrics = createMetrics();
  collectProcessMetrics(metrics);
  collectLoopLag(metrics, 'main');
  countCertificate(metrics, tls);
  const registry = new MemoryRegistry(systemClock);
  closers.add('registry', () => registry.close());
  const shared = { catalog, blobs, datasets, registry, clock: systemClock, dateMs: Date.now };
  const logOf = (role: string): Log => rootLog.child({ role });

  const control = await startControl({
    ...{ ...shared, id: `${hostname()}-${process.pid}`, timing: SINGLE_PROCESS_TIMING },
    ...{ log: logOf('control'), metrics },
  });
  closers.add('control', () => control.stop());
  const admin = await listenForControl(options, control, logOf('control'), tokens);

  const plane = startPlane(options, registry, control, onFatal);
  const { grpcPort } = await plane.start();
  const grpc = formatAddress(host, grpcPort);

  const ingest = await startIngest({
    ...shared,
    directory: stores.folders.ingest,
    log: logOf('ingest'),
  });
  closers.add('ingest', () => ingest.stop());
  const trainer = await startTrainer({
    ...shared,
    directory: stores.folders.trainer,
    toolchainDirectory: stores.folders.toolchain,
    log: logOf('trainer'),
    metrics,
  });
  closers.add('trainer', () => trainer.stop());

  const gateway = await startGateway({
    ...{ host, isInsecure, port: settings.httpPort, log: logOf('gateway'), metrics, tls, tokens },
    // In one process nobody has to be asked who he is.
    inference: plane.router(INFERENCE_METHODS),
    admin: control.backend,
    blobs,
  });
  closers.add('gateway', () => gateway.stop());
  const waitingFor = async (): Promise<readonly string[]> => await plane.waitingFor();
  const observe = await serveObserve({
    ...{ host, isInsecure, port: settings.metricsPort, waitingFor },
    tls: tls && { ...tls, log: rootLog },
    metrics: async () => renderMetrics([await snapshot(metrics), ...(await plane.snapshots())]),
  });
  closers.add('metrics listener', () => observe.stop());
  return {
    addresses: {
      http: formatAddress(host, gateway.port),
      grpc,
      metrics: formatAddress(host, observe.port),
      admin: admin.address,
    },
    ingest,
    waitingFor,
  };
}

/** Control's listeners: the admin API, and blobs over HTTP. */
async function listenForControl(
  { settings, stores, closers }: RolesOptions,
  control: Control,
  log: Log,
  tokens: BearerTokens | undefined,
): Promise<GrpcListener> {
  const { host, isInsecure, adminPort: port, tls } = settings;
  const health = new Health();
  health.set('', true);
  const backend = mergeBackends([withTokens(control.backend, tokens), healthService(health, log)]);
  const admin = await serveGrpc({
    backend: withReflection(backend, readDescriptors(), log),
    ...{ host, isInsecure, port, portFlag: '--admin-port', log, tls },
  });
  closers.add('admin listener', () => admin.stop());
  const blobPort = await serveBlobPort(stores.blobs, {
    ...settings,
    tls: tls && { ...tls, log },
    tokens,
  });
  closers.add('blob listener', () => blobPort.stop());
  return admin;
}

function startPlane(
  options: RolesOptions,
  registry: MemoryRegistry,
  control: Control,
  onFatal: (error: Error) => void,
): PlaneThread {
  const plane = startPlaneThread({
    settings: options.settings,
    registry,
    folders: options.stores.folders,
    control: { loadModel: control.loadModel, unloadModel: control.unloadModel },
    onFatal,
  });
  options.closers.add('data plane', async () => {
    await within(DRAIN_MS, plane.drain());
    const hasEnded = await within(
      STOP_MS,
      plane.stop().then(async () => void (await plane.ended)),
    );
    if (!hasEnded) options.rootLog.error('a model still runs: the process is ended with it');
  });
  return plane;
}

/** Whether `work` was done in time. */
async function within(limitMs: number, work: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, limitMs, false);
  });
  const isDone = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return isDone;
}
