<?php
// Two tasks of one unique are one job: php_shared.php HOST PORT FUNCTION.
[, $host, $port, $function] = $argv;
$client = new GearmanClient();
$client->addServer($host, (int) $port);

function say(string $event): void
{
    echo "$event\n";
}

$client->setCreatedCallback(fn(GearmanTask $task) => say("created {$task->jobHandle()}"));
$client->setCompleteCallback(fn(GearmanTask $task) => say("complete {$task->data()}"));
$client->addTask($function, "xyz", null, "key");
$client->addTask($function, "xyz", null, "key");
$client->runTasks();
