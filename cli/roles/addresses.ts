// Addresses as settings of roles: what can be read of them is checked before anything is opened.
// None is repeated in a message, since it may hold a password.
import { z } from 'zod';
import { statusOf } from '../../common/status.ts';
import { isRedisAddress, parseRedisAddress } from '../../registry/redis/address.ts';
import { parsePostgresAddress } from '../../stores/postgres/postgres-address.ts';
import { parseAddress } from '../../transport/client/dial.ts';

export const REGISTRY_FORM = 'redis://HOST:PORT, redis+sentinel:// or redis+cluster://';
export const CATALOG_FORM = 'postgres://USER:PASSWORD@HOST/DATABASE, or sqlite:FILE for one host';
export const BLOBS_FORM = 's3://BUCKET/PREFIX, http://HOST:PORT of control, redis://, or dir:PATH';
export const DATASETS_FORM =
  'postgres://USER:PASSWORD@HOST/DATABASE, or duckdb:FILE of one process';

/** @param check throws what is wrong, in words that keep secrets */
function checked(form: string, check: (text: string) => unknown) {
  return z.string({ error: `is needed: ${form}` }).superRefine((text, context) => {
    try {
      check(text);
    } catch (thrown) {
      context.addIssue({ code: 'custom', message: statusOf(thrown).message });
    }
  });
}

export const registryAddress = checked(REGISTRY_FORM, (text) => {
  if (isRedisAddress(text)) parseRedisAddress(text);
  else throw wrong(REGISTRY_FORM);
});

export const catalogAddress = checked(CATALOG_FORM, (text) => {
  if (/^postgres(ql)?:/.test(text)) parsePostgresAddress(text);
  else if (!/^sqlite:./.test(text)) throw wrong(CATALOG_FORM);
});

export const blobsAddress = checked(BLOBS_FORM, (text) => {
  if (!/^(s3|https?|rediss?):\/\/.|^dir:./.test(text)) throw wrong(BLOBS_FORM);
});

export const datasetsAddress = checked(DATASETS_FORM, (text) => {
  if (/^postgres(ql)?:/.test(text)) parsePostgresAddress(text);
  else if (!/^duckdb:./.test(text)) throw wrong(DATASETS_FORM);
});

/** host:port of another role. */
export const peerAddress = (what: string) =>
  checked(`HOST:PORT of ${what}`, (text) => void parseAddress(text));

/** One or more, with commas between them. */
export const peerAddresses = (what: string) =>
  checked(`HOST:PORT of ${what}, or several with commas between them`, (text) => {
    for (const one of listed(text)) parseAddress(one);
  });

export function listed(text: string): readonly string[] {
  return text.split(',').map((one) => one.trim());
}

function wrong(form: string): Error {
  return new Error(`must be ${form}`);
}
