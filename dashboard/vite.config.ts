import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The agent serves the built page and /api from one origin; while developing, vite stands in for it and
// passes /api on to an agent that runs.
const agent = process.env["WALHOUSE_AGENT_URL"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "./",
  plugins: [react()],
  build: { outDir: "../build/web/dashboard", emptyOutDir: true },
  server: { host: "127.0.0.1", proxy: { "/api": agent } },
});
