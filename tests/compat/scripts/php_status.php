<?php
// What PHP's client can learn of a job: php_status.php HOST PORT HANDLE UNIQUE.
[, $host, $port, $handle, $unique] = $argv;
$client = new GearmanClient();
$client->addServer($host, (int) $port);

echo "jobStatus ", json_encode($client->jobStatus($handle)), "\n";
echo "jobStatusByUniqueKey ", json_encode($client->jobStatusByUniqueKey($unique)), "\n";

$client->setStatusCallback(function (GearmanTask $task) {
    $told = [$task->isKnown(), $task->isRunning(), $task->taskNumerator(), $task->taskDenominator()];
    echo "addTaskStatus ", json_encode($told), "\n";
});
$client->addTaskStatus($handle);
$client->runTasks();
