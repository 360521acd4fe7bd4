// One header field as HPACK carries it, and what it costs (RFC 7541, 4.1; RFC 9113, 10.5.1).

export interface HeaderField {
  readonly name: string;
  /** Octets as characters 0 to 255 (latin1): nothing is lost whatever the peer sent. */
  readonly value: string;
  /**
   * Sent as never-indexed (RFC 7541, 7.1.3): who passes the field on must do the same, and nothing
   * may log it.
   */
  readonly isSecret: boolean;
}

/** What an entry or a field costs beside its octets (RFC 7541, 4.1). */
export const FIELD_OVERHEAD_BYTES = 32;

export function fieldBytes(field: HeaderField): number {
  return FIELD_OVERHEAD_BYTES + field.name.length + field.value.length;
}

/** A field; `value` holds characters 0 to 255 only. */
export function headerField(name: string, value: string, isSecret = false): HeaderField {
  return { name, value, isSecret };
}
