// Express: node express_peer.js bare|memory|redis PORT REDIS

import express from "express";
import session from "express-session";
import { RedisStore } from "connect-redis";
import { createClient } from "redis";

const [kind, port, redis] = process.argv.slice(2);
const app = express();

if (kind === "redis") {
  const client = createClient({ url: `redis://127.0.0.1:${redis}` });
  await client.connect();
  use(new RedisStore({ client }));
} else if (kind === "memory") {
  use(undefined);
}

function use(store) {
  app.use(session({ store, secret: "benchmark", resave: false, saveUninitialized: false }));
}

app.get("/", (request, response) => {
  if (kind === "bare") {
    response.send("Visit #1 for you!");
    return;
  }
  request.session.visits = (request.session.visits || 0) + 1;
  response.send(`Visit #${request.session.visits} for you!`);
});

app.listen(Number(port), "127.0.0.1");
