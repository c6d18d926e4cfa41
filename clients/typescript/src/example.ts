/** Registers, logs in, buys the first product that is found, and prints the order: `node dist/example.js http://127.0.0.1:8080 teapot`. */

import { randomUUID } from "node:crypto";

import { connect, ZocoError } from "./index.js";

const baseUrl = process.argv[2] ?? "http://127.0.0.1:8080";
const query = process.argv[3] ?? "";
const account = { email: `${randomUUID()}@example.com`, password: "correct horse battery staple" };

let token: string | undefined;
const shop = connect({ baseUrl, token: () => token });

await shop.POST("/v1/users", { body: { ...account, displayName: "A Buyer" } });
token = (await shop.POST("/v1/auth:login", { body: account })).data?.accessToken;

const product = (await shop.GET("/v1/products", { params: { query: { query, pageSize: 1 } } })).data?.products[0];
if (product === undefined) throw new Error("the shop sells nothing");

const order = {
  items: [{ productId: product.id, quantity: 1 }],
  paymentToken: "tok_visa",
  shippingAddress: { regionCode: "ES", addressLines: ["Calle Mayor 1"] },
};
const placed = await shop.POST("/v1/orders", {
  params: { header: { "Idempotency-Key": randomUUID() } },
  body: order,
});
console.log(JSON.stringify(placed.data));

try {
  await shop.POST("/v1/orders", {
    params: { header: { "Idempotency-Key": randomUUID() } },
    body: { ...order, paymentToken: "tok_declined" },
  });
} catch (error) {
  if (!(error instanceof ZocoError)) throw error;
  console.log(JSON.stringify({ status: error.status, reason: error.reason }));
}
