// gRPC server reflection (v1 and its older name v1alpha), so that grpcurl and its like can call any
// method without our .proto files. Answers come from the descriptors that `npm run proto` writes.
import { createFileRegistry, type DescFile, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { Log } from '../../common/log.ts';
import { notFound, StatusError } from '../../common/status.ts';
import {
  ServerReflectionRequest,
  ServerReflectionResponse,
} from '../../proto/gen/grpc/reflection/v1/reflection.ts';
import type { Backend } from '../backend.ts';
import { bidiStream, codecOf, defineService, mergeBackends } from '../service.ts';

type Answer = ServerReflectionResponse['messageResponse'];

/** Both have the same messages. */
/** Its methods; all are streams both ways. */
export const REFLECTION_PATHS = [
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
];

/** What the descriptors say, by file name and by symbol. */
class Descriptors {
  readonly #registry: ReturnType<typeof createFileRegistry>;

  constructor(fileDescriptorSet: Uint8Array) {
    this.#registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, fileDescriptorSet));
  }

  fileByName(name: string): readonly Uint8Array[] {
    const file = this.#registry.getFile(name);
    if (file === undefined) throw notFound(`no file ${JSON.stringify(name)}`);
    return withImports(file);
  }

  /** @param symbol full name of a message, enum, service or extension, or of a member of one */
  fileOfSymbol(symbol: string): readonly Uint8Array[] {
    const found = this.#registry.get(symbol) ?? this.#ownerOfMember(symbol);
    if (found === undefined) throw notFound(`no symbol ${JSON.stringify(symbol)}`);
    return withImports(found.file);
  }

  fileOfExtension(type: string, number: number): readonly Uint8Array[] {
    const message = this.#registry.getMessage(type);
    const extension = message && this.#registry.getExtensionFor(message, number);
    if (extension === undefined) throw notFound(`no extension ${number} of ${type}`);
    return withImports(extension.file);
  }

  extensionNumbers(type: string): readonly number[] {
    if (this.#registry.getMessage(type) === undefined) throw notFound(`no message type ${type}`);
    const numbers: number[] = [];
    for (const found of this.#registry) {
      if (found.kind !== 'extension' || found.extendee.typeName !== type) continue;
      numbers.push(found.number);
    }
    return numbers;
  }

  #ownerOfMember(symbol: string) {
    const dot = symbol.lastIndexOf('.');
    const member = symbol.slice(dot + 1);
    const owner = this.#registry.get(symbol.slice(0, Math.max(dot, 0)));
    switch (owner?.kind) {
      case 'service':
        return owner.methods.some((method) => method.name === member) ? owner : undefined;
      case 'message':
        return owner.fields.some((field) => field.name === member) ? owner : undefined;
      default:
        return undefined;
    }
  }
}

/** The file, then all that it imports, directly or not: each once, serialized. */
function withImports(file: DescFile): readonly Uint8Array[] {
  const files = new Set([file]);
  for (const known of files) for (const imported of known.dependencies) files.add(imported);
  return [...files].map((one) => toBinary(FileDescriptorProtoSchema, one.proto));
}

function filesAnswer(files: readonly Uint8Array[]): Answer {
  return {
    $case: 'fileDescriptorResponse',
    fileDescriptorResponse: { fileDescriptorProto: [...files] },
  };
}

function answer(
  descriptors: Descriptors,
  services: () => readonly string[],
  request: ServerReflectionRequest,
): Answer {
  const ask = request.messageRequest;
  switch (ask?.$case) {
    case 'listServices': {
      const service = services().map((name) => ({ name }));
      return { $case: 'listServicesResponse', listServicesResponse: { service } };
    }
    case 'fileByFilename':
      return filesAnswer(descriptors.fileByName(ask.fileByFilename));
    case 'fileContainingSymbol':
      return filesAnswer(descriptors.fileOfSymbol(ask.fileContainingSymbol));
    case 'fileContainingExtension': {
      const { containingType, extensionNumber } = ask.fileContainingExtension;
      return filesAnswer(descriptors.fileOfExtension(containingType, extensionNumber));
    }
    case 'allExtensionNumbersOfType': {
      const baseTypeName = ask.allExtensionNumbersOfType;
      const extensionNumber = [...descriptors.extensionNumbers(baseTypeName)];
      return {
        $case: 'allExtensionNumbersResponse',
        allExtensionNumbersResponse: { baseTypeName, extensionNumber },
      };
    }
    default:
      throw notFound('the request asks for nothing that this server knows');
  }
}

/** What is not there is an answer, and the stream goes on. */
function answerOrError(
  descriptors: Descriptors,
  services: () => readonly string[],
  request: ServerReflectionRequest,
): ServerReflectionResponse {
  const head = { validHost: request.host, originalRequest: request };
  try {
    return { ...head, messageResponse: answer(descriptors, services, request) };
  } catch (thrown) {
    if (!(thrown instanceof StatusError)) throw thrown;
    const errorResponse = { errorCode: thrown.code, errorMessage: thrown.message };
    return { ...head, messageResponse: { $case: 'errorResponse', errorResponse } };
  }
}

/** Full names of the services of these methods, in order. */
function servicesOf(methods: Backend['methods']): readonly string[] {
  const names = [...methods.keys()].map((path) => path.slice(1, path.lastIndexOf('/')));
  return [...new Set(names)].sort();
}

/**
 * The backend with reflection beside it, which lists the backend's services and its own.
 * @param fileDescriptorSet a serialized google.protobuf.FileDescriptorSet with all imports
 * @throws when the descriptors can't be read
 */
export function withReflection(backend: Backend, fileDescriptorSet: Uint8Array, log: Log): Backend {
  const descriptors = new Descriptors(fileDescriptorSet);
  const services = (): readonly string[] => servicesOf(merged.methods);
  const methods = REFLECTION_PATHS.map((path) =>
    bidiStream(
      path,
      codecOf(ServerReflectionRequest),
      codecOf(ServerReflectionResponse),
      async function* (requests) {
        for await (const request of requests) yield answerOrError(descriptors, services, request);
      },
    ),
  );
  const merged: Backend = mergeBackends([backend, defineService(methods, log)]);
  return merged;
}
