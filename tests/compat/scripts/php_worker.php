<?php
// A worker: php_worker.php HOST PORT PREFIX. Works until it is killed.
[, $host, $port, $prefix] = $argv;
$worker = new GearmanWorker();
$worker->addServer($host, (int) $port);
$worker->setId("{$prefix}worker");

$worker->addFunction("{$prefix}reverse", fn(GearmanJob $job) => strrev($job->workload()));

$worker->addFunction("{$prefix}report", function (GearmanJob $job) {
    $job->sendData("one");
    $job->sendData("two");
    $job->sendWarning("careful");
    $job->sendStatus(1, 2);
    return "done";
});

$worker->addFunction("{$prefix}fail", fn(GearmanJob $job) => $job->sendFail());
$worker->addFunction("{$prefix}raise", fn(GearmanJob $job) => $job->sendException("boom"));
$worker->addFunction("{$prefix}unique", fn(GearmanJob $job) => $job->unique());

$nothing = null;
$worker->addFunction("{$prefix}hang", fn(GearmanJob $job) => sleep(600));
$worker->addFunction("{$prefix}slow", fn(GearmanJob $job) => sleep(600), $nothing, 1000);

while ($worker->work()) {
}
fwrite(STDERR, $worker->error() . "\n");
exit(1);
