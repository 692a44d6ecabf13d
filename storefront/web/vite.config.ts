import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The storefront's backend serves the built page and /api from one origin; while developing, vite passes /api on to it.
const backend = process.env["WALHOUSE_STOREFRONT_URL"] ?? "http://127.0.0.1:8000";

export default defineConfig({
  base: "./",
  plugins: [react()],
  build: { outDir: "../../build/web/storefront", emptyOutDir: true },
  server: { host: "127.0.0.1", proxy: { "/api": backend } },
});
