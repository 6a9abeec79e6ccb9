<?php
// Calls of PHP's worker: php_worker_calls.php HOST PORT. It does two jobs, and ends.
[, $host, $port] = $argv;

function worker(): GearmanWorker
{
    global $host, $port;
    $worker = new GearmanWorker();
    $worker->addServer($host, (int) $port);
    return $worker;
}

function wait_in_vain(GearmanWorker $worker): void
{
    $worker->setTimeout(50);
    do {
        @$worker->work();
    } while ($worker->returnCode() !== GEARMAN_TIMEOUT);
}

$leaver = worker();
echo "ping: ", json_encode($leaver->ping("anybody there?")), "\n";
$leaver->addFunction("left", fn(GearmanJob $job) => "never");
$leaver->addFunction("stays", fn(GearmanJob $job) => "never");
wait_in_vain($leaver);
echo "no job in time\n";
$leaver->unregister("left");
wait_in_vain($leaver);
echo "unregister\n";
fgets(STDIN);
$leaver->unregisterAll();
@$leaver->grabJob(); // tells the server
echo "unregisterAll\n";
fgets(STDIN);

$grabber = worker();
$grabber->register("grabbed");
$job = $grabber->grabJob();
echo "grabbed: {$job->functionName()} {$job->unique()} {$job->workload()}\n";
$job->sendComplete("by hand");

$worker = worker();
$context = "context";
$worker->addFunction("done", function (GearmanJob $job, $context) {
    return "{$job->functionName()} {$job->workloadSize()} $context";
}, $context);
$worker->addOptions(GEARMAN_WORKER_NON_BLOCKING);
do {
    @$worker->work();
} while (!in_array($worker->returnCode(), [GEARMAN_IO_WAIT, GEARMAN_NO_JOBS]));
echo "no job without waiting\n";
$worker->removeOptions(GEARMAN_WORKER_NON_BLOCKING);
$worker->work();
