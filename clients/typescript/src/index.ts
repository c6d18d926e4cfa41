/** A typed client of the shop: every path, parameter and answer is the OpenAPI document's. */

import createClient, { type Client, type Middleware } from "openapi-fetch";

import type { components, paths } from "./schema.js";

export type { components, operations, paths } from "./schema.js";

/** What every error looks like. */
export type ErrorBody = components["schemas"]["Error"];

/** A refusal, as the shop gave it. */
export class ZocoError extends Error {
  /** @param status HTTP status. @param body What the shop said. */
  constructor(readonly status: number, readonly body: ErrorBody) {
    super(body.message);
    this.name = "ZocoError";
  }

  /** The reason a program can go by, such as `INSUFFICIENT_STOCK`; empty where none was given. */
  get reason(): string {
    const info = this.body.details.find((each) => each["@type"] === "type.googleapis.com/google.rpc.ErrorInfo");
    return (info as { reason?: string } | undefined)?.reason ?? "";
  }
}

export interface Options {
  /** Where the edge is, such as `https://shop.example`. */
  baseUrl: string;
  /** The access token that log-in gave, or what gives the present one; asked for on every call. */
  token?: string | (() => string | undefined);
  /** Milliseconds after which a call is given up; 10 000 unless given. The contract's own deadline holds in any case. */
  timeout?: number;
}

/** Opens a client. What is refused is thrown as `ZocoError`. */
export function connect({ baseUrl, token, timeout = 10_000 }: Options): Client<paths> {
  const giveToken = typeof token === "function" ? token : () => token;
  const calls: Middleware = {
    onRequest({ request }) {
      const given = giveToken();
      if (given !== undefined) request.headers.set("authorization", `Bearer ${given}`);
      return new Request(request, { signal: AbortSignal.any([request.signal, AbortSignal.timeout(timeout)]) });
    },
    async onResponse({ response }) {
      if (!response.ok) throw new ZocoError(response.status, (await response.json()) as ErrorBody);
    },
  };
  const client = createClient<paths>({ baseUrl });
  client.use(calls);
  return client;
}
