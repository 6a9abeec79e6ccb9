# A worker: perl_worker.pl HOST PORT PREFIX. Works until it is killed.
use strict;
use warnings;
use Gearman::Worker;

my ($host, $port, $prefix) = @ARGV;
my $worker = Gearman::Worker->new(
    job_servers => ["$host:$port"],
    client_id   => "${prefix}worker",
);

$worker->register_function("${prefix}reverse" => sub { scalar reverse $_[0]->arg });

$worker->register_function(
    "${prefix}report" => sub {
        my ($job) = @_;
        $worker->send_work_data($job, "one");
        $worker->send_work_data($job, "two");
        $worker->send_work_warning($job, "careful");
        $job->set_status(1, 2);
        return "done";
    }
);

$worker->register_function("${prefix}fail"  => sub { return undef });
$worker->register_function("${prefix}raise" => sub { die "boom\n" });
$worker->register_function("${prefix}empty" => sub { return "" });
$worker->register_function("${prefix}hang"  => sub { sleep 600 });
$worker->register_function("${prefix}slow", 1000, sub { sleep 600 });

$worker->work;
