<?php
// Tasks of PHP's client, and all of its callbacks: php_tasks.php HOST PORT.
[, $host, $port] = $argv;
$client = new GearmanClient();
$client->addServer($host, (int) $port);

$events = [];
function note(GearmanTask $task, string $event): void
{
    global $events;
    $events[$task->unique()][] = $event;
}

$client->setCreatedCallback(function (GearmanTask $task) {
    note($task, str_starts_with($task->jobHandle(), "H:") ? "created" : "no handle");
});
$client->setDataCallback(fn(GearmanTask $task) => note($task, "data {$task->data()}"));
$client->setWarningCallback(fn(GearmanTask $task) => note($task, "warning {$task->data()}"));
$client->setStatusCallback(
    fn(GearmanTask $task) => note($task, "status {$task->taskNumerator()}/{$task->taskDenominator()}")
);
$client->setCompleteCallback(
    fn(GearmanTask $task, $context) => note($task, "complete {$task->data()} $context")
);
$client->setExceptionCallback(fn(GearmanTask $task) => note($task, "exception {$task->data()}"));
$client->setFailCallback(fn(GearmanTask $task) => note($task, "fail"));

$client->addTask("gearpy.report", "x", "context", "report");
$client->addTask("gearpy.reverse", "abc", "context", "normal");
$client->addTaskHigh("gearpy.reverse", "def", "context", "high");
$client->addTaskLow("gearpy.reverse", "ghi", "context", "low");
$client->addTask("php.fail", "x", "context", "fail");
$client->addTask("php.raise", "x", "context", "raise");
$client->addTaskBackground("later", "x", "context", "background normal");
$client->addTaskHighBackground("later", "x", "context", "background high");
$client->addTaskLowBackground("later", "x", "context", "background low");
echo json_encode($client->runTasks()), "\n";

ksort($events);
foreach ($events as $unique => $of_task) {
    echo "$unique: ", implode(", ", $of_task), "\n";
}
