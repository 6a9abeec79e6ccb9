<?php
// A client: php_client.php HOST PORT FUNCTION UNIQUE < payload. Prints what happens to the job.
[, $host, $port, $function, $unique] = $argv;
$client = new GearmanClient();
$client->addServer($host, (int) $port);

function say(string $event): void
{
    echo "$event\n";
}

$client->setDataCallback(fn(GearmanTask $task) => say("data {$task->data()}"));
$client->setWarningCallback(fn(GearmanTask $task) => say("warning {$task->data()}"));
$client->setStatusCallback(
    fn(GearmanTask $task) => say("status {$task->taskNumerator()}/{$task->taskDenominator()}")
);
$client->setCompleteCallback(fn(GearmanTask $task) => say("complete {$task->data()}"));
$client->setExceptionCallback(fn(GearmanTask $task) => say("exception {$task->data()}"));
$client->setFailCallback(fn(GearmanTask $task) => say("fail"));

$client->addTask($function, stream_get_contents(STDIN), null, $unique);
$client->runTasks() or exit(1);
