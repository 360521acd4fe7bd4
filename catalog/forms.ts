// How programs of two neighbouring releases share one catalog while a cluster is brought from one
// to the other. A field that is only added needs nothing: who does not know it keeps it
// (documents.ts). Any other change raises the schema number by one and takes two releases: the
// first reads the new form and still writes the old one, the next writes the new one. So what a
// release writes, the release before it reads; anything newer is refused.
import { Code, StatusError } from '../common/status.ts';
import { CATALOG_SCHEMA } from './documents.ts';

export type Body = Readonly<Record<string, unknown>>;

export interface Forms {
  /** The newest schema that is read, in whose form the program works. */
  readonly newest: number;
  /** What is written: `newest`, or in the release that brings it, the one before. */
  readonly written: number;
  /** A document of the schema before the newest, in the newest form but for its number. */
  upgrade(kind: string, body: Body): Body;
  /** The way back. */
  downgrade(kind: string, body: Body): Body;
}

export const FORMS: Forms = {
  newest: CATALOG_SCHEMA,
  written: CATALOG_SCHEMA,
  upgrade: (_, body) => body,
  downgrade: (_, body) => body,
};

function hasSchema(body: unknown): body is Body & { readonly schema: number } {
  return body instanceof Object && 'schema' in body && typeof body.schema === 'number';
}

/**
 * A stored body in the newest form; what has no schema number comes back as it is, for the kind's
 * own check to refuse.
 * @param title of the document, for messages: "model 'digits'"
 * @throws FAILED_PRECONDITION for a schema newer than the newest or older than the one before it
 */
export function newestForm(forms: Forms, kind: string, title: string, body: unknown): unknown {
  if (!hasSchema(body) || body.schema === forms.newest) return body;
  if (body.schema === forms.newest - 1 && body.schema > 0) {
    return { ...forms.upgrade(kind, body), schema: forms.newest };
  }
  const isNewer = body.schema > forms.newest;
  throw new StatusError(
    Code.FAILED_PRECONDITION,
    isNewer
      ? `${title} has schema ${body.schema}, this program reads up to ${forms.newest}: a newer ` +
          'Torus has written it, run that one or a newer one'
      : `${title} has schema ${body.schema}, this program reads ${forms.newest - 1} and ` +
          `${forms.newest}: run the releases between them one after the other`,
  );
}

/** A document as it is stored. */
export function writtenForm(forms: Forms, kind: string, body: Body): Body {
  if (forms.written === forms.newest) return body;
  return { ...forms.downgrade(kind, body), schema: forms.written };
}
