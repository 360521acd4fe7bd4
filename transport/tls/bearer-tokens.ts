// Who may change the cluster, where it can be reached from elsewhere: whoever brings a token that
// stands in a file. Tokens are compared in a time that tells nothing of them, and no message or log
// has one.
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Code, failedPrecondition, StatusError } from '../../common/status.ts';
import type { Backend, Metadata } from '../backend.ts';

/** Shorter ones are refused at the start: they can be guessed. */
export const MIN_TOKEN_CHARACTERS = 16;
const TOKEN = /^[\x21-\x7e]+$/;

export interface BearerTokens {
  /** The one that this process sends. */
  readonly own: string;
  /** @param authorization header as it came. @throws StatusError UNAUTHENTICATED */
  check(authorization: unknown): void;
}

/**
 * @param path a file with a token on each line. The first is sent, each is accepted: so a new one
 * is brought in without a moment in which one side knows less than the other.
 * @throws StatusError FAILED_PRECONDITION when it can't be read or has no fit token
 */
export function readTokens(path: string): BearerTokens {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const message = `cannot read the token file ${path}: ${String(cause)}`;
    throw new StatusError(Code.FAILED_PRECONDITION, message, { cause });
  }
  const tokens = text.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.trim()]));
  const [own] = tokens;
  if (own === undefined || !tokens.every(isFit)) {
    throw failedPrecondition(
      `the token file ${path} must have a token on each line, of at least ` +
        `${MIN_TOKEN_CHARACTERS} letters, digits and signs: openssl rand -hex 32 makes one`,
    );
  }
  return bearerTokens(own, tokens.slice(1));
}

function isFit(token: string): boolean {
  return token.length >= MIN_TOKEN_CHARACTERS && TOKEN.test(token);
}

export function bearerTokens(own: string, others: readonly string[] = []): BearerTokens {
  const digests = [own, ...others].map(digestOf);
  return {
    own,
    check(authorization) {
      const [, token = ''] = /^bearer (.+)$/i.exec(String(authorization ?? '')) ?? [];
      const digest = digestOf(token);
      let isKnown = false;
      for (const known of digests) if (timingSafeEqual(digest, known)) isKnown = true;
      if (isKnown) return;
      throw new StatusError(
        Code.UNAUTHENTICATED,
        token === ''
          ? "this needs a token: header 'authorization: Bearer TOKEN', or --admin-token-file"
          : 'the token is not one that is accepted here',
      );
    },
  };
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Calls of `backend` that bring a token; the others end with UNAUTHENTICATED. */
export function withTokens(backend: Backend, tokens: BearerTokens | undefined): Backend {
  if (tokens === undefined) return backend;
  const isAllowed = (call: { metadata: Metadata; fail(error: StatusError): void }): boolean => {
    try {
      tokens.check(call.metadata.find(([key]) => key === 'authorization')?.[1]);
      return true;
    } catch (thrown) {
      if (!(thrown instanceof StatusError)) throw thrown;
      call.fail(thrown);
      return false;
    }
  };
  return {
    methods: backend.methods,
    unary: (call) => {
      if (isAllowed(call)) backend.unary(call);
    },
    stream: (call) => {
      if (isAllowed(call)) backend.stream(call);
    },
  };
}
