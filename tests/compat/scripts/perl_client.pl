# A client: perl_client.pl HOST PORT FUNCTION UNIQUE < payload. Prints what happens to the job.
use strict;
use warnings;
use Gearman::Client;

my ($host, $port, $function, $unique) = @ARGV;
my $client = Gearman::Client->new(job_servers => ["$host:$port"], exceptions => 1);
my $payload = do { local $/; <STDIN> };

my $tasks = $client->new_task_set;
$tasks->add_task(
    $function, \$payload,
    {   uniq         => $unique,
        on_data      => sub { print "data ${$_[0]}\n" },
        on_warning   => sub { print "warning ${$_[0]}\n" },
        on_status    => sub { print "status $_[0]/$_[1]\n" },
        on_complete  => sub { print "complete ${$_[0]}\n" },
        on_exception => sub { print "exception $_[0]\n" },
        on_fail      => sub { print "fail\n" },
    }
);
$tasks->wait;
