<?php
// Has thumbnails made of all photographs in a folder, as submit_photographs.py does.
//
//     php examples/submit_photographs.php --server localhost:4730 --into thumbnails FOLDER
//
// Needs PHP's gearman extension: the Debian packages php-cli and php-gearman.

declare(strict_types=1);

const TIMEOUT_MS = 60_000; // without any news

function say(string $name, string $text): void
{
    echo "  $name: $text\n";
}

function stop(string $sentence): never
{
    fwrite(STDERR, "$sentence\n");
    exit(1);
}

$options = getopt('', ['server:', 'into:'], $rest);
[$host, $port] = explode(':', ($options['server'] ?? 'localhost') . ':4730');
$into = $options['into'] ?? 'thumbnails';
$folder = $argv[$rest] ?? stop('Which folder? Usage: php submit_photographs.php [--server HOST:PORT] [--into FOLDER] FOLDER');

extension_loaded('gearman') or stop("PHP's gearman extension is missing: install the Debian package php-gearman.");
$photographs = glob("$folder/*.jpg") or stop("There are no photographs (*.jpg) in $folder.");
is_dir($into) or mkdir($into, recursive: true) or stop("The folder $into can't be made.");

$client = new GearmanClient();
try {
    $client->addServer($host, (int) $port);
} catch (GearmanException) {
    stop("No Gearman server answers at $host:$port; is it running, and is this its address?");
}
$client->setTimeout(TIMEOUT_MS);

// The callbacks are given the task and what was given to addTask beside it: here a file's name.
$saved = [];
$client->setStatusCallback(function (GearmanTask $task, string $name): void {
    say($name, "{$task->taskNumerator()} of {$task->taskDenominator()}");
});
$client->setWarningCallback(function (GearmanTask $task, string $name): void {
    say($name, "warning: {$task->data()}");
});
$client->setCompleteCallback(function (GearmanTask $task, string $name) use (&$saved, $into): void {
    file_put_contents("$into/$name", $task->data()) === $task->dataSize() or stop("$into/$name can't be written.");
    $saved[$name] = true;
    say($name, 'a thumbnail of ' . number_format($task->dataSize()) . ' bytes');
});
$client->setExceptionCallback(function (GearmanTask $task, string $name): void {
    say($name, "failed: {$task->data()}");
});
$client->setFailCallback(function (GearmanTask $task, string $name): void {
    say($name, 'failed');
});

foreach ($photographs as $path) {
    $name = basename($path);
    $client->addTask('resize', file_get_contents($path), $name);
}
$finished = $client->runTasks(); // submits them all, then calls back until the last has ended

$missing = count($photographs) - count($saved);
if ($missing > 0) {
    $reason = $finished ? '' : " ({$client->error()})";
    stop("$missing of " . count($photographs) . " photographs have no thumbnail$reason.");
}
