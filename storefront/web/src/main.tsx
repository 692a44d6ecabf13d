import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Shop } from "./Shop";
import "./style.css";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no element #root");
createRoot(root).render(
  <StrictMode>
    <Shop />
  </StrictMode>,
);
