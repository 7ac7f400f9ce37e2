"use strict";

const report = JSON.parse(document.getElementById("report-data").textContent);

showHead(report);
showAdaptation(report);
const replayOf = showReplays(report);
showTrajectories(report.replays);
showFits(report.fits);
showTasks(report, (row) => {
  const show = replayOf(row.index);
  return show && element("button", {
    type: "button", "aria-label": `Replay task ${row.index}`, click: show,
  }, "replay");
});
showLearning(report);
showSettings(report);
showFooter(report);
