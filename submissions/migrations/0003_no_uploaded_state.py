from django.db import migrations, models

class Migration(migrations.Migration):

    dependencies = [
        ('submissions', '0002_thieves'),
    ]

    operations = [
        migrations.AlterField(
            model_name='submission',
            name='state',
            field=models.CharField(choices=[('queued', 'Waiting for qualification'), ('qualifying', 'Being qualified'), ('qualified', 'Qualified'), ('rejected', 'Rejected'), ('void', 'Void: our fault'), ('cancelled', 'Cancelled')], default='queued', max_length=12),
        ),
    ]
