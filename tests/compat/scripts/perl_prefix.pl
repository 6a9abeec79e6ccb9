# Perl's prefix, which it parts from the function's name with a tab: perl_prefix.pl worker|client HOST PORT.
use strict;
use warnings;
use Gearman::Client;
use Gearman::Worker;

my ($role, $host, $port) = @ARGV;
my %options = (job_servers => ["$host:$port"], prefix => "app");

if ($role eq "worker") {
    my $worker = Gearman::Worker->new(%options);
    $worker->register_function(reverse => sub { scalar reverse $_[0]->arg });
    $worker->work;
}
else {
    my $client = Gearman::Client->new(%options);
    print ${ $client->do_task("reverse", "abc") }, "\n";
}
